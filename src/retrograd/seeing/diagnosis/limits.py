"""From when on something is called a fault. Each number with its reason; they err on the side of silence."""

from __future__ import annotations

# Dead units. In a small batch many healthy units are zero for every example. One counts as dead only if its input stayed below zero by
# more than DEAD_MARGIN standard deviations (over examples) even for the example nearest to zero.
DEAD_MARGIN = 3.0
DEAD_DEPTH = 1.0  # and by so much at least: small updates still move what is nearer to zero
DEAD_SHARE = 0.1  # of a layer's units; a few dead ones do no harm
DEAD_EXAMPLES = 16  # fewer say too little about a unit
DEAD_UNITS = 4  # a layer that is all zero: with fewer units that happens by chance

# Gradients over depth. Healthy nets differ by 10 to 100 between layers; a sigmoid loses a factor of 4 or more at each.
DEPTH_LAYERS = 4  # fewer are no depth
DEPTH_RATIO = 1e4  # between the norms of the cotangents of layers' outputs, first to last layer
DEPTH_PER_LAYER = 3.0  # and that much for each layer
DEPTH_ODD = 0.6  # of all that is lost or gained, at most so much at one layer; of three, an even loss would be a third at each
TIME_USES = 8  # uses of one weight in one pass: a recurrence, whose depth is time; DEPTH_RATIO holds for it too
TIME_PER_USE = 1.6  # gates lose about 1.5 at each step when training begins, and plain recurrences with large weights next to nothing

# Saturation, beyond what `flow` calls flat.
SOFTMAX_CHOICES = 4  # among fewer, one may well take all
FLAT_SHARE = 0.9  # of the outputs. A trained gate or classifier may well have half of them there
FLAT_PASSES = 0.2  # what part of the cotangent's norm gets through; one element in thirty on the slope already lets that much

# Outputs of the last sigmoid that are at the limit that is wrong for them. A trained classifier may have some, of labels that are wrong.
STUCK_SHARE = 0.5
STUCK_SLOPE = (
    0.05  # the gradient that comes through there, beside the loss; a loss made for a sigmoid lets about as much through as it is large
)

# Updates. The usual ratio of update to weight is 1e-3; Adam's first steps on small weights reach 0.3. So a large ratio is a fault only
# together with a loss that grows.
RATIO_HIGH = 0.1
LOSS_GROWTH = 2.0  # over the kept steps, at the same line
LOSS_DIVERGES = 10.0  # so much growth needs no large ratio
RATE_STEPS = 3  # fewer show no trend
RATE_STEPS_NOISY = 6  # of other data in each: then all of the later half have to be larger than all of the earlier
RATE_STEPS_STILL = 4  # in all of which updates are large, while the loss does not fall
LOSS_STILL = 0.25  # of the first loss: weights that change by a third and more in every step, and have not come further
RATIO_HIGH_NOISY = 0.3  # where that may be chance
RATIO_USUAL, RATIO_NONE = 1e-3, 1e-9  # what most programs have; what is no update any more
RATIO_LOW = 1e-6  # float32 resolves 6e-8; a thousand such steps change a weight by a thousandth
GRADIENT_MATTERS = 1e-3  # gradient to weight: with less, training may simply be over

# Growth from step to step: by a factor that is much the same each time, until numbers are huge.
GROWTH_STEPS = 4  # numbers in a row
GROWTH_FACTOR = 1.5  # at every step
GROWTH_TOTAL = 1e3  # over all
GROWTH_LEAST, GROWTH_AT_ONCE = 3, 1e9  # with less numbers, it takes more
GROWTH_HUGE = 1e3  # what is smaller may have begun near zero

HELD = 3  # steps whose losses are there still; those of two may be in variables

# Sums. Rows of probabilities add up to 1 within rounding.
ROW_SUM = 1e-4
LOG_ROW_SUM = 0.1  # log-probabilities that were computed by hand may be off by more

SYMMETRY = 1e-6  # relative difference of rows that are copies of each other
INPUT_RMS = 10.0  # layers are initialised for inputs of about 1; pixels from 0 to 255 have about 100
EQUAL_PLACES = 2  # steps that show the same before it is called a habit
