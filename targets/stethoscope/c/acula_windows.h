/* What convolutions and depthwise convolutions share; after the inner loops of the core. */
#ifndef ACULA_WINDOWS_H
#define ACULA_WINDOWS_H

#include "acula_kernels.h"
#include "acula_scale.h"

static inline void acula_clamp_all(const acula_window_t *shape, int32_t count, int8_t *made)
{
    for (int32_t i = 0; i < count; ++i) {
        made[i] = acula_clamp(made[i], shape->low, shape->high);
    }
}

static inline bool acula_clamps(const acula_window_t *shape)
{
    return (shape->low > INT8_MIN) || (shape->high < INT8_MAX);
}

/* Whether sums are only shifted to the right, and cut off at zero: rounding is simpler then. */
static inline bool acula_is_plain(const acula_window_t *shape, const acula_weights_t *weights)
{
    return (shape->out_zero == INT8_MIN) && acula_all_right(weights->shifts, shape->out_channels);
}

#endif
