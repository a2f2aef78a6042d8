; Worker threads, and loops shared out among them. Filled in by pool.py: @pause, @now and @yield for the system at hand.
;
; A stage's extent is cut into chunks of `grain`, and a chunk is one call of its kernel. Chunks are dealt to the threads in equal
; runs, so that a thread meets the same part of the same arrays in every step and finds it in its cache. Who has finished his own run
; takes from another's only where that is far behind, with more than a quarter of its chunks not begun: to bring memory from another core's
; cache takes longer than to wait a little. So nobody waits for a thread that took no chunk: if the workers are slow to wake, the caller
; does the work.
;
; The caller publishes a stage as a job under a new number, its epoch: odd while the job is being written, even when it stands. A run of
; chunks is taken from by a ticket: the epoch and how many were taken, changed by compare-and-swap. A ticket of an earlier epoch
; means that none was taken. A thread that is late by one or more epochs finds every ticket of its own used up or replaced.

%stage = type { ptr, ptr, i64, i64, i64, i64 }  ; kernel, its table of pointers, extent, grain, chunks, whether to share it out (in a job: threads)
%slot = type { i64, i64, ptr, [104 x i8] }      ; ticket, whether the worker is asleep, the lock that it sleeps on; two cache lines

@epoch = internal global i64 0, align 128
@job = internal global %stage zeroinitializer, align 128
@done = internal global i64 0, align 128        ; chunks of the job finished by workers
@sleepers = internal global i64 0, align 128
@busy = internal global i64 0, align 128        ; whether a caller has the workers
@threads = internal global i64 1, align 128     ; how many threads share a stage, the caller's own included
@started = internal global i64 1                ; how many of those exist
@patience = internal global i64 0               ; nanoseconds that a worker without work spins before it sleeps
@slots = internal global [256 x %slot] zeroinitializer, align 128

declare ptr @PyThread_allocate_lock()
declare i32 @PyThread_acquire_lock(ptr, i32)
declare void @PyThread_release_lock(ptr)
declare i64 @PyThread_start_new_thread(ptr, ptr)

; ---- chunks -------------------------------------------------------------------------------------------------------------

define internal void @run_chunk(ptr %stage, i64 %chunk) nounwind {
  %kernel = load ptr, ptr %stage
  %table.at = getelementptr %stage, ptr %stage, i64 0, i32 1
  %table = load ptr, ptr %table.at
  %extent.at = getelementptr %stage, ptr %stage, i64 0, i32 2
  %extent = load i64, ptr %extent.at
  %grain.at = getelementptr %stage, ptr %stage, i64 0, i32 3
  %grain = load i64, ptr %grain.at
  %begin = mul i64 %chunk, %grain
  %left = sub i64 %extent, %begin
  %short = icmp slt i64 %left, %grain
  %length = select i1 %short, i64 %left, i64 %grain
  %end = add i64 %begin, %length
  call void %kernel(ptr %table, i64 %begin, i64 %end)
  ret void
}

; The next chunk of the run that belongs to `slot`, or -1 if there is none, if it is better left to its owner, or the job is no longer the current one.
define internal i64 @claim(ptr %job, i64 %epoch, i64 %slot, i1 %own) nounwind {
  %chunks.at = getelementptr %stage, ptr %job, i64 0, i32 4
  %chunks = load i64, ptr %chunks.at
  %threads.at = getelementptr %stage, ptr %job, i64 0, i32 5
  %threads = load i64, ptr %threads.at
  %first.scaled = mul i64 %chunks, %slot
  %first = udiv i64 %first.scaled, %threads
  %last.scaled = add i64 %first.scaled, %chunks
  %last = udiv i64 %last.scaled, %threads
  %length = sub i64 %last, %first
  %tag = shl i64 %epoch, 24
  %ticket.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %slot, i32 0
  br label %try
try:
  %ticket = load atomic i64, ptr %ticket.at acquire, align 8  ; before the epoch: a ticket of a later job is then never taken for an old one
  %current = load atomic i64, ptr @epoch acquire, align 8
  %late = icmp ne i64 %current, %epoch
  br i1 %late, label %none, label %look
look:
  %ticket.tag = and i64 %ticket, -16777216
  %ticket.taken = and i64 %ticket, 16777215
  %begun = icmp eq i64 %ticket.tag, %tag
  %taken = select i1 %begun, i64 %ticket.taken, i64 0
  %left = sub i64 %length, %taken
  %any = icmp ne i64 %left, 0
  %left.scaled = shl i64 %left, 2
  %behind = icmp ugt i64 %left.scaled, %length
  %more = select i1 %own, i1 %any, i1 %behind
  br i1 %more, label %take, label %none
take:
  %taken.next = add i64 %taken, 1
  %ticket.next = or i64 %tag, %taken.next
  %swap = cmpxchg ptr %ticket.at, i64 %ticket, i64 %ticket.next acq_rel acquire, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %some, label %try
some:
  %chunk = add i64 %first, %taken
  ret i64 %chunk
none:
  ret i64 -1
}

; Runs chunks of the job until none is left, those of `own` first; adds how many to `counter` after each run of chunks.
define internal void @help(ptr %job, i64 %epoch, i64 %own, ptr %counter) nounwind {
entry:
  %threads.at = getelementptr %stage, ptr %job, i64 0, i32 5
  %threads = load i64, ptr %threads.at
  br label %run
run:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %next ]
  %ahead = add i64 %own, %turn
  %around = icmp uge i64 %ahead, %threads
  %behind = sub i64 %ahead, %threads
  %slot = select i1 %around, i64 %behind, i64 %ahead
  %mine = icmp eq i64 %turn, 0
  br label %chunk
chunk:
  %count = phi i64 [ 0, %run ], [ %count.next, %found ]
  %chunk.number = call i64 @claim(ptr %job, i64 %epoch, i64 %slot, i1 %mine)
  %found.any = icmp sge i64 %chunk.number, 0
  br i1 %found.any, label %found, label %counted
found:
  call void @run_chunk(ptr %job, i64 %chunk.number)
  %count.next = add i64 %count, 1
  br label %chunk
counted:
  %idle = icmp eq i64 %count, 0
  br i1 %idle, label %next, label %tell
tell:
  %before = atomicrmw add ptr %counter, i64 %count release, align 8
  br label %next
next:
  %turn.next = add i64 %turn, 1
  %again = icmp ult i64 %turn.next, %threads
  br i1 %again, label %run, label %out
out:
  ret void
}

; ---- workers ------------------------------------------------------------------------------------------------------------

; The epoch of a job that is not `seen`, or `seen` when patience ends.
define internal i64 @watch(i64 %seen) nounwind {
entry:
  %since = call i64 @now()
  br label %look
look:
  %spins = phi i64 [ 0, %entry ], [ %spins.next, %relax ], [ 0, %manners ], [ 0, %give.way ]
  %epoch = load atomic i64, ptr @epoch acquire, align 8
  %new = icmp ne i64 %epoch, %seen
  %odd = trunc i64 %epoch to i1
  %even = xor i1 %odd, true
  %ready = and i1 %new, %even
  br i1 %ready, label %found, label %wait
wait:
  %spins.next = add i64 %spins, 1
  %check = icmp uge i64 %spins.next, 16
  br i1 %check, label %clock, label %relax
relax:
  call void @pause()
  br label %look
clock:
  %time = call i64 @now()
  %waited = sub i64 %time, %since
  %patience = load atomic i64, ptr @patience monotonic, align 8
  %weary = icmp sgt i64 %waited, %patience
  br i1 %weary, label %gave.up, label %manners
manners:
  %long = icmp sgt i64 %waited, 50000
  br i1 %long, label %give.way, label %look
give.way:
  call void @yield()  ; between steps of a program another thread may want the core: one of NumPy's, say
  br label %look
found:
  ret i64 %epoch
gave.up:
  ret i64 %seen
}

; Sleeps until `wake`, unless a job was published in the meantime.
define internal void @sleep(i64 %own, i64 %seen) nounwind {
  %asleep.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %own, i32 1
  %lock.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %own, i32 2
  %lock = load ptr, ptr %lock.at
  %before = atomicrmw add ptr @sleepers, i64 1 seq_cst, align 8
  store atomic i64 1, ptr %asleep.at seq_cst, align 8
  %epoch = load atomic i64, ptr @epoch seq_cst, align 8
  %new = icmp ne i64 %epoch, %seen
  br i1 %new, label %get.up, label %lie
get.up:
  %swap = cmpxchg ptr %asleep.at, i64 1, i64 0 seq_cst seq_cst, align 8
  %alone = extractvalue { i64, i1 } %swap, 1
  br i1 %alone, label %up, label %lie  ; if somebody is waking this worker already, the lock is or will be free
up:
  %count = atomicrmw sub ptr @sleepers, i64 1 seq_cst, align 8
  ret void
lie:
  %held = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  ret void
}

; Copies the job of an epoch; false if it was replaced meanwhile.
define internal i1 @copy_job(ptr %copy, i64 %epoch) nounwind {
entry:
  br label %word
word:
  %i = phi i64 [ 0, %entry ], [ %i.next, %word ]
  %from = getelementptr i64, ptr @job, i64 %i
  %to = getelementptr i64, ptr %copy, i64 %i
  %value = load atomic i64, ptr %from monotonic, align 8
  store i64 %value, ptr %to
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, 6
  br i1 %more, label %word, label %copied
copied:
  fence acquire
  %current = load atomic i64, ptr @epoch monotonic, align 8
  %stands = icmp eq i64 %current, %epoch
  ret i1 %stands
}

; The life of a worker.
define internal void @work(ptr %index) nounwind {
entry:
  %job = alloca %stage
  %own = ptrtoint ptr %index to i64
  br label %next
next:
  %seen = phi i64 [ 0, %entry ], [ %seen, %rest ], [ %epoch, %look ], [ %epoch, %member ], [ %epoch, %join ]
  %epoch = call i64 @watch(i64 %seen)
  %nothing = icmp eq i64 %epoch, %seen
  br i1 %nothing, label %rest, label %look
rest:
  call void @sleep(i64 %own, i64 %seen)
  br label %next
look:
  %stands = call i1 @copy_job(ptr %job, i64 %epoch)
  br i1 %stands, label %member, label %next
member:
  %threads.at = getelementptr %stage, ptr %job, i64 0, i32 5
  %threads = load i64, ptr %threads.at
  %wanted = icmp ult i64 %own, %threads
  br i1 %wanted, label %join, label %next
join:
  call void @help(ptr %job, i64 %epoch, i64 %own, ptr @done)
  br label %next
}

; ---- the caller ---------------------------------------------------------------------------------------------------------

; Wakes the first `threads` workers.
define internal void @wake(i64 %threads) nounwind {
entry:
  %any = icmp ugt i64 %threads, 1
  br i1 %any, label %each, label %out
each:
  %i = phi i64 [ 1, %entry ], [ %i.next, %next ]
  %asleep.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %i, i32 1
  %asleep = load atomic i64, ptr %asleep.at monotonic, align 8
  %sleeps = icmp eq i64 %asleep, 1
  br i1 %sleeps, label %touch, label %next
touch:
  %swap = cmpxchg ptr %asleep.at, i64 1, i64 0 seq_cst seq_cst, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %call, label %next
call:
  %count = atomicrmw sub ptr @sleepers, i64 1 seq_cst, align 8
  %lock.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %i, i32 2
  %lock = load ptr, ptr %lock.at
  call void @PyThread_release_lock(ptr %lock)
  br label %next
next:
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %threads
  br i1 %more, label %each, label %out
out:
  ret void
}

; Starts the workers that are wanted and do not exist. Where the system refuses, the others do their chunks.
define internal void @grow(i64 %threads) nounwind {
entry:
  br label %each
each:
  %started = load i64, ptr @started
  %enough = icmp uge i64 %started, %threads
  br i1 %enough, label %out, label %start
start:
  %lock = call ptr @PyThread_allocate_lock()
  %no.lock = icmp eq ptr %lock, null
  br i1 %no.lock, label %out, label %make
make:
  %held = call i32 @PyThread_acquire_lock(ptr %lock, i32 1)
  %lock.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %started, i32 2
  store ptr %lock, ptr %lock.at
  %index = inttoptr i64 %started to ptr
  %identity = call i64 @PyThread_start_new_thread(ptr @work, ptr %index)
  %refused = icmp eq i64 %identity, -1
  br i1 %refused, label %out, label %made
made:
  %more = add i64 %started, 1
  store i64 %more, ptr @started
  br label %each
out:
  ret void
}

; Shares a stage out among `threads` threads and returns when all of it is done.
define internal void @share(ptr %stage, i64 %threads) nounwind {
entry:
  %mine = alloca i64
  store i64 0, ptr %mine
  %before = load atomic i64, ptr @epoch monotonic, align 8
  %writing = add i64 %before, 1
  %epoch = add i64 %before, 2
  store atomic i64 %writing, ptr @epoch monotonic, align 8
  fence release
  store atomic i64 0, ptr @done monotonic, align 8
  br label %word
word:
  %i = phi i64 [ 0, %entry ], [ %i.next, %word ]
  %from = getelementptr i64, ptr %stage, i64 %i
  %to = getelementptr i64, ptr @job, i64 %i
  %value = load i64, ptr %from
  store atomic i64 %value, ptr %to monotonic, align 8
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, 5
  br i1 %more, label %word, label %publish
publish:
  %threads.at = getelementptr %stage, ptr @job, i64 0, i32 5
  store atomic i64 %threads, ptr %threads.at monotonic, align 8
  store atomic i64 %epoch, ptr @epoch seq_cst, align 8
  %sleepers = load atomic i64, ptr @sleepers seq_cst, align 8
  %any.sleeps = icmp ne i64 %sleepers, 0
  br i1 %any.sleeps, label %rouse, label %begin
rouse:
  call void @wake(i64 %threads)
  br label %begin
begin:
  call void @help(ptr @job, i64 %epoch, i64 0, ptr %mine)
  %by.me = load i64, ptr %mine
  %chunks.at = getelementptr %stage, ptr %stage, i64 0, i32 4
  %chunks = load i64, ptr %chunks.at
  %by.others = sub i64 %chunks, %by.me
  br label %wait
wait:
  %spins = phi i64 [ 0, %begin ], [ %spins.next, %spin ], [ %spins.next, %give.way ]
  %done = load atomic i64, ptr @done acquire, align 8
  %all = icmp eq i64 %done, %by.others
  br i1 %all, label %out, label %relax
relax:
  %spins.next = add i64 %spins, 1
  %long = icmp ugt i64 %spins.next, 1000
  br i1 %long, label %give.way, label %spin
spin:
  call void @pause()
  br label %wait
give.way:
  call void @yield()  ; a worker that holds a chunk may have lost its core
  br label %wait
out:
  ret void
}

; The chunks of a stage, one after the other.
define internal void @alone(ptr %stage) nounwind {
entry:
  %chunks.at = getelementptr %stage, ptr %stage, i64 0, i32 4
  %chunks = load i64, ptr %chunks.at
  %any = icmp sgt i64 %chunks, 0
  br i1 %any, label %each, label %out
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  call void @run_chunk(ptr %stage, i64 %i)
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %chunks
  br i1 %more, label %each, label %out
out:
  ret void
}

; Takes the workers, if they are worth having and free: how many threads may share a stage.
define i64 @retrograd_pool_enter() nounwind {
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %several = icmp ugt i64 %threads, 1
  br i1 %several, label %ask, label %none
ask:
  %swap = cmpxchg ptr @busy, i64 0, i64 1 acquire monotonic, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %have, label %none
have:
  %started = load i64, ptr @started
  %few = icmp ult i64 %started, %threads
  br i1 %few, label %more, label %enough
more:
  call void @grow(i64 %threads)
  br label %enough
enough:
  ret i64 %threads
none:
  ret i64 1
}

; Gives the workers back.
define void @retrograd_pool_leave(i64 %threads) nounwind {
  %had = icmp ugt i64 %threads, 1
  br i1 %had, label %free, label %out
free:
  store atomic i64 0, ptr @busy release, align 8
  br label %out
out:
  ret void
}

; Runs one stage with at most so many threads.
define void @retrograd_pool_stage(ptr %stage, i64 %threads) nounwind {
  %shared.at = getelementptr %stage, ptr %stage, i64 0, i32 5
  %shared = load i64, ptr %shared.at
  %wide = icmp ne i64 %shared, 0
  %several = icmp ugt i64 %threads, 1
  %both = and i1 %wide, %several
  br i1 %both, label %together, label %single
together:
  call void @share(ptr %stage, i64 %threads)
  ret void
single:
  call void @alone(ptr %stage)
  ret void
}

; Sets the number of threads and a worker's patience in nanoseconds.
define void @retrograd_pool_set(i64 %threads, i64 %patience) nounwind {
  store atomic i64 %threads, ptr @threads monotonic, align 8
  store atomic i64 %patience, ptr @patience monotonic, align 8
  ret void
}

; How many threads exist, the caller's own included, and how many of them sleep.
define void @retrograd_pool_look(ptr %result) nounwind {
  %started = load i64, ptr @started
  store i64 %started, ptr %result
  %sleepers = load atomic i64, ptr @sleepers seq_cst, align 8
  %second = getelementptr i64, ptr %result, i64 1
  store i64 %sleepers, ptr %second
  ret void
}

; For the child of a fork, where no worker lives: forgets them, and the job that another thread of the parent may have published.
define void @retrograd_pool_forget() nounwind {
entry:
  %chunks.at = getelementptr %stage, ptr @job, i64 0, i32 4
  store atomic i64 0, ptr %chunks.at monotonic, align 8
  %before = load atomic i64, ptr @epoch monotonic, align 8
  %odd = or i64 %before, 1
  %epoch = add i64 %odd, 1
  store atomic i64 %epoch, ptr @epoch seq_cst, align 8
  store atomic i64 0, ptr @done monotonic, align 8
  store atomic i64 0, ptr @sleepers monotonic, align 8
  store i64 1, ptr @started
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %each ]
  %asleep.at = getelementptr [256 x %slot], ptr @slots, i64 0, i64 %i, i32 1
  store atomic i64 0, ptr %asleep.at monotonic, align 8
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, 256
  br i1 %more, label %each, label %out
out:
  store atomic i64 0, ptr @busy release, align 8
  ret void
}
