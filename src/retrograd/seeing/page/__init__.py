"""A record as one web page that works offline, and the same page live while a program trains.

`data` says what the page shows, as JSON; `page` writes it into one file of HTML with the programs in `front/`; `server` serves it.
"""
