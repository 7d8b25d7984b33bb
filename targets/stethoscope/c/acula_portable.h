/* Inner loops in plain C99. */
#ifndef ACULA_PORTABLE_H
#define ACULA_PORTABLE_H

#include "acula_kernels.h"
#include "acula_scale.h"

/* Channels that acula_rows computes at once: it leaves a rest of them. */
#define ACULA_TOGETHER 1u

/* Whether every channel's factor is shifted to the right. */
ACULA_INLINE bool acula_all_right(const int32_t *shifts, int32_t channels)
{
    bool right = true;
    for (int32_t i = 0; i < channels; ++i) {
        right = right && (shifts[i] < 0);
    }
    return right;
}

/* Sums that acula_dots makes at once. */
#define ACULA_DOTS 4

/* There is one way of computing a block. */
typedef enum { ACULA_ANY, ACULA_PLAIN } acula_way_t;

static inline acula_way_t acula_way(const acula_window_t *shape, bool plain)
{
    (void)shape;
    (void)plain;
    return ACULA_ANY;
}

/* Products of one row with `count` rows of weights. */
static void acula_dots(const int8_t *x, const int8_t *w, int32_t size, int32_t count, int32_t *sums)
{
    for (int32_t i = 0; i < count; ++i) {
        int32_t sum = 0;
        for (int32_t k = 0; k < size; ++k) {
            sum += (int32_t)x[k] * (int32_t)w[k];
        }
        sums[i] = sum;
        w += size;
    }
}

/* Two pixels at a time, whose rows stand one after the other. Returns how many of the `count` pixels are done. */
ACULA_INLINE int32_t acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                                int32_t count, int8_t *y, acula_way_t way)
{
    (void)way;
    const int32_t size = shape->row_bytes;
    const int32_t zero = shape->out_zero;
    const int32_t channels = shape->out_channels;
    int32_t done = 0;
    for (; done + 2 <= count; done += 2) {
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
        x += 2 * size;
        y += 2 * channels;
    }
    return done;
}

#endif
