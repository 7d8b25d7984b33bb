/* Depthwise convolutions for cores with the DSP extension (Cortex-M4, M7, M33). */
#ifndef ACULA_DSP_CHANNELS_H
#define ACULA_DSP_CHANNELS_H

#include "acula_dsp_halves.h"
#include "acula_kernels.h"

/* One channel of one pixel. */
static int32_t acula_channel(const acula_weights_t *weights, const int8_t *const *taps, int32_t count,
                             int32_t channels, int32_t at, int32_t channel)
{
    int32_t sum = weights->biases[channel];
    for (int32_t tap = 0; tap < count; ++tap) {
        sum += (int32_t)taps[tap][at + channel] * (int32_t)weights->weights[(tap * channels) + channel];
    }
    return sum;
}

/* All channels of one pixel of a depthwise convolution, four at once. */
ACULA_INLINE void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                                 const int8_t *const *taps, int32_t at, int8_t *y, bool plain)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    const int32_t whole = (int32_t)((uint32_t)channels & ~3u);
    const int32_t *biases = weights->biases;
    const int32_t *multipliers = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    const int8_t *rows = weights->weights;
    for (int32_t channel = 0; channel < whole; channel += 4) {
        const int8_t *w = rows + channel;
        const int8_t *const *tap = taps;
        const int32_t *bias = biases + channel;
        int32_t sum0 = bias[0];
        int32_t sum1 = bias[1];
        int32_t sum2 = bias[2];
        int32_t sum3 = bias[3];
        do {
            const uint32_t x4 = acula_load4(*tap + at + channel);
            const uint32_t w4 = acula_load4(w);
            const uint32_t x_even = acula_even(x4);
            const uint32_t w_even = acula_even(w4);
            sum0 = acula_low(x_even, w_even, sum0);
            sum2 = acula_high(x_even, w_even, sum2);
            const uint32_t x_odd = acula_odd(x4);
            const uint32_t w_odd = acula_odd(w4);
            sum1 = acula_low(x_odd, w_odd, sum1);
            sum3 = acula_high(x_odd, w_odd, sum3);
            w += channels;
            ++tap;
        } while (tap < taps + count);
        y[channel] = acula_finish(sum0, multipliers[channel], shifts[channel], zero, plain);
        y[channel + 1] = acula_finish(sum1, multipliers[channel + 1], shifts[channel + 1], zero, plain);
        y[channel + 2] = acula_finish(sum2, multipliers[channel + 2], shifts[channel + 2], zero, plain);
        y[channel + 3] = acula_finish(sum3, multipliers[channel + 3], shifts[channel + 3], zero, plain);
    }
    for (int32_t channel = whole; channel < channels; ++channel) {
        const int32_t sum = acula_channel(weights, taps, count, channels, at, channel);
        const int32_t multiplier = weights->multipliers[channel];
        y[channel] = acula_finish(sum, multiplier, weights->shifts[channel], zero, plain);
    }
}

#endif
