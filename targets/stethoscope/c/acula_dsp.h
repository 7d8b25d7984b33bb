/* Inner loops for cores with the DSP extension (Cortex-M4, M7, M33): two products in one instruction. */
#ifndef ACULA_DSP_H
#define ACULA_DSP_H

#include "acula_kernels.h"
#include "acula_scale.h"

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

/* Bytes 0 and 2 of a word as two numbers of 16 bits. */
static inline uint32_t acula_even(uint32_t word)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(word));
    return halves;
}

/* Bytes 1 and 3. */
static inline uint32_t acula_odd(uint32_t word)
{
    uint32_t halves;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
}

/* sum + both products of the halves. */
static inline int32_t acula_both(uint32_t x, uint32_t w, int32_t sum)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(w), "r"(sum));
    return result;
}

/* sum + the product of the lower halves. */
static inline int32_t acula_low(uint32_t x, uint32_t w, int32_t sum)
{
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(w), "r"(sum));
    return result;
}

/* sum + the product of the upper halves. */
static inline int32_t acula_high(uint32_t x, uint32_t w, int32_t sum)
{
    int32_t result;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(w), "r"(sum));
    return result;
}

/* x / 2^right, halves upwards, + zero, kept to 8 bits; right > 0. The bit that is shifted out last is the
 * carry. */
static inline int32_t acula_round(int32_t x, int32_t right, int32_t zero)
{
    int32_t steps = x;
    __asm__("asrs %0, %0, %1\n\tadcs %0, %0, %2\n\tssat %0, #8, %0"
            : "+r"(steps)
            : "r"(right), "r"(zero)
            : "cc");
    return steps;
}

/* A sum as INT8; halves go away from zero: one less below zero. Plain: the shift is to the right, and what lies
 * below zero is cut off. */
ACULA_INLINE int8_t acula_finish(int32_t sum, int32_t multiplier, int32_t shift, int32_t zero, bool plain)
{
    if (plain) {
        return (int8_t)acula_round(acula_high_product(sum, multiplier), -shift, zero);
    }
    if (shift < 0) {
        const int32_t x = acula_high_product(sum, multiplier);
        return (int8_t)acula_round(x - (int32_t)((uint32_t)x >> 31), -shift, zero);
    }
    return (int8_t)acula_saturate(acula_scale(sum, multiplier, shift) + zero);
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
