/* Inner loops in plain C99. */
#ifndef ACULA_PORTABLE_H
#define ACULA_PORTABLE_H

#include "acula_kernels.h"
#include "acula_scale.h"

/* Channels that acula_rows computes at once: it leaves a rest of them. */
#define ACULA_TOGETHER 1u

/* All channels of two pixels, whose rows stand one after the other. */
static void acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x, int8_t *y)
{
    const int32_t size = shape->row_bytes;
    const int32_t zero = shape->out_zero;
    const int32_t channels = shape->out_channels;
    const int8_t *w = weights->weights;
    for (int32_t channel = 0; channel < channels; ++channel) {
        int32_t sum0 = weights->biases[channel];
        int32_t sum1 = sum0;
        for (int32_t k = 0; k < size; ++k) {
            sum0 += (int32_t)x[k] * (int32_t)w[k];
            sum1 += (int32_t)x[size + k] * (int32_t)w[k];
        }
        const int32_t multiplier = weights->multipliers[channel];
        const int32_t shift = weights->shifts[channel];
        y[channel] = (int8_t)acula_saturate(acula_scale(sum0, multiplier, shift) + zero);
        y[channels + channel] = (int8_t)acula_saturate(acula_scale(sum1, multiplier, shift) + zero);
        w += size;
    }
}

/* All channels of one pixel of a depthwise convolution. */
static void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                           const int8_t *const *taps, int8_t *y)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    for (int32_t c = 0; c < channels; ++c) {
        const int8_t *w = weights->weights + c;
        int32_t sum = weights->biases[c];
        for (int32_t tap = 0; tap < count; ++tap) {
            sum += (int32_t)taps[tap][c] * (int32_t)*w;
            w += channels;
        }
        y[c] = (int8_t)acula_saturate(acula_scale(sum, weights->multipliers[c], weights->shifts[c]) + shape->out_zero);
    }
}

#endif
