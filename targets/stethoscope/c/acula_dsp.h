/* Inner loops for cores with the DSP extension (Cortex-M4, M7, M33): two products in one instruction. */
#ifndef ACULA_DSP_H
#define ACULA_DSP_H

#include <string.h>

#include "acula_dsp_halves.h"
#include "acula_kernels.h"

/* Channels that acula_rows computes at once: it leaves a rest of them. */
#define ACULA_TOGETHER 2u
/* Sums that acula_dots makes at once. */
#define ACULA_DOTS 4

/* Ways of computing a block: plain rounding, or any. */
typedef enum { ACULA_ANY, ACULA_PLAIN } acula_way_t;

static inline acula_way_t acula_way(const acula_window_t *shape, bool plain)
{
    (void)shape;
    return plain ? ACULA_PLAIN : ACULA_ANY;
}

/* The sums of one channel for two pixels, `gap` bytes apart. */
ACULA_INLINE void acula_finish_both(int32_t sum, int32_t other, int32_t multiplier, int32_t shift, int32_t zero,
                                    int8_t *y, int32_t gap, bool plain)
{
    const int8_t one = acula_finish(sum, multiplier, shift, zero, plain);
    y[gap] = acula_finish(other, multiplier, shift, zero, plain);
    y[0] = one;
}

/* Products of one row with `count` rows of weights, four at most. */
static __attribute__((noinline)) void acula_dots(const int8_t *x, const int8_t *w, int32_t size, int32_t count,
                                                 int32_t *sums)
{
    /* Rows that are not wanted are the first one once more. */
    const int8_t *w1 = (count > 1) ? (w + size) : w;
    const int8_t *w2 = (count > 2) ? (w1 + size) : w;
    const int8_t *w3 = (count > 3) ? (w2 + size) : w;
    const int8_t *const last = x + (int32_t)((uint32_t)size & ~3u);
    const int8_t *const end = x + size;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (; x < last; x += 4) {
        const uint32_t x4 = acula_load4(x);
        const uint32_t even = acula_even(x4);
        const uint32_t odd = acula_odd(x4);
        uint32_t w4 = acula_load4(w);
        sum0 = acula_both(odd, acula_odd(w4), acula_both(even, acula_even(w4), sum0));
        w4 = acula_load4(w1);
        sum1 = acula_both(odd, acula_odd(w4), acula_both(even, acula_even(w4), sum1));
        w4 = acula_load4(w2);
        sum2 = acula_both(odd, acula_odd(w4), acula_both(even, acula_even(w4), sum2));
        w4 = acula_load4(w3);
        sum3 = acula_both(odd, acula_odd(w4), acula_both(even, acula_even(w4), sum3));
        w += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
    }
    for (; x < end; ++x) {
        sum0 += (int32_t)*x * (int32_t)*w++;
        sum1 += (int32_t)*x * (int32_t)*w1++;
        sum2 += (int32_t)*x * (int32_t)*w2++;
        sum3 += (int32_t)*x * (int32_t)*w3++;
    }
    const int32_t all[ACULA_DOTS] = {sum0, sum1, sum2, sum3};
    (void)memcpy(sums, all, (size_t)count * sizeof all[0]);
}

/* Two pixels by two channels at a time: two numbers of each product stand for four sums, so that every load
 * serves twice. */
ACULA_INLINE void acula_tiles(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                              int32_t pairs, int8_t *y, bool plain)
{
    const int32_t size = shape->row_bytes;
    const int32_t zero = shape->out_zero;
    const int32_t channels = shape->out_channels;
    const int32_t *biases = weights->biases;
    const int32_t *multipliers = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    const int8_t *w = weights->weights;
    const int8_t *const last = y + (int32_t)((uint32_t)channels & ~1u);
    for (; y < last; y += 2) {
        const int8_t *end = x;
        int8_t *to = y;
        for (int32_t pair = pairs; pair > 0; --pair) {
            const int8_t *a = end;
            const int8_t *v = w;
            int32_t sum0 = biases[0];
            int32_t sum1 = sum0;
            int32_t sum2 = biases[1];
            int32_t sum3 = sum2;
            end += size;
            do {
                const uint32_t second = acula_load4(a + size);
                const uint32_t first = acula_load4(a);
                const uint32_t even0 = acula_even(first);
                const uint32_t odd0 = acula_odd(first);
                const uint32_t even1 = acula_even(second);
                const uint32_t odd1 = acula_odd(second);
                const uint32_t v4 = acula_load4(v + size);
                const uint32_t v_even = acula_even(v4);
                sum2 = acula_both(even0, v_even, sum2);
                sum3 = acula_both(even1, v_even, sum3);
                const uint32_t v_odd = acula_odd(v4);
                sum2 = acula_both(odd0, v_odd, sum2);
                sum3 = acula_both(odd1, v_odd, sum3);
                const uint32_t w4 = acula_load4(v);
                const uint32_t w_even = acula_even(w4);
                sum0 = acula_both(even0, w_even, sum0);
                sum1 = acula_both(even1, w_even, sum1);
                const uint32_t w_odd = acula_odd(w4);
                sum0 = acula_both(odd0, w_odd, sum0);
                sum1 = acula_both(odd1, w_odd, sum1);
                a += 4;
                v += 4;
            } while (a < end);
            end += size;
            acula_finish_both(sum0, sum1, multipliers[0], shifts[0], zero, to, channels, plain);
            acula_finish_both(sum2, sum3, multipliers[1], shifts[1], zero, to + 1, channels, plain);
            to += 2 * channels;
        }
        biases += 2;
        multipliers += 2;
        shifts += 2;
        w += 2 * size;
    }
}

static __attribute__((noinline)) void acula_any_tiles(const acula_window_t *shape, const acula_weights_t *weights,
                                                      const int8_t *x, int32_t pairs, int8_t *y)
{
    acula_tiles(shape, weights, x, pairs, y, false);
}

static __attribute__((noinline)) void acula_plain_tiles(const acula_window_t *shape,
                                                        const acula_weights_t *weights, const int8_t *x,
                                                        int32_t pairs, int8_t *y)
{
    acula_tiles(shape, weights, x, pairs, y, true);
}

/* Returns how many of the `count` pixels are done. */
ACULA_INLINE int32_t acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                                int32_t count, int8_t *y, acula_way_t way)
{
    const int32_t pairs = count / 2;
    if (way == ACULA_PLAIN) {
        acula_plain_tiles(shape, weights, x, pairs, y);
    } else {
        acula_any_tiles(shape, weights, x, pairs, y);
    }
    return 2 * pairs;
}

#endif
