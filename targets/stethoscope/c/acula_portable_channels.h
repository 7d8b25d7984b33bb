/* Depthwise convolutions in plain C99. */
#ifndef ACULA_PORTABLE_CHANNELS_H
#define ACULA_PORTABLE_CHANNELS_H

#include "acula_kernels.h"
#include "acula_scale.h"

/* Whether every channel's factor is shifted to the right. */
ACULA_INLINE bool acula_all_right(const int32_t *shifts, int32_t channels)
{
    bool right = true;
    for (int32_t i = 0; i < channels; ++i) {
        right = right && (shifts[i] < 0);
    }
    return right;
}

/* All channels of one pixel of a depthwise convolution. */
ACULA_INLINE void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                           const int8_t *const *taps, int32_t at, int8_t *y, bool plain)
{
    (void)plain;
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    for (int32_t c = 0; c < channels; ++c) {
        const int8_t *w = weights->weights + c;
        int32_t sum = weights->biases[c];
        for (int32_t tap = 0; tap < count; ++tap) {
            sum += (int32_t)taps[tap][at + c] * (int32_t)*w;
            w += channels;
        }
        y[c] = (int8_t)acula_saturate(acula_scale(sum, weights->multipliers[c], weights->shifts[c]) + shape->out_zero);
    }
}

#endif
