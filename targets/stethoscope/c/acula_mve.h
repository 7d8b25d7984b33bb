/* Inner loops for cores with Helium (Cortex-M55): 16 products, or 4 sums, in one instruction. */
#ifndef ACULA_MVE_H
#define ACULA_MVE_H

#include <arm_mve.h>

#include "acula_kernels.h"
#include "acula_scale.h"

#define LANES 4
#define BYTES 16

/* Channels that acula_rows computes at once: it leaves a rest of them. */
#define ACULA_TOGETHER 4u

/* Four sums by the factors of their channels. Halves go away from zero: one less below zero, where there is a
 * shift to the right. */
static inline int32x4_t acula_scaled(int32x4_t sums, int32x4_t multipliers, int32x4_t shifts)
{
    const int32x4_t right = vminq_s32(shifts, vdupq_n_s32(0));
    int32x4_t x = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shifts, vdupq_n_s32(0))), multipliers);
    x = vaddq_s32(x, vshrq_n_s32(vandq_s32(x, right), 31));
    return vrshlq_s32(x, right);
}

/* Four sums to INT8; only the lanes of `used` are written. */
static inline void acula_finish(int32x4_t sums, int32x4_t multipliers, int32x4_t shifts, int32_t zero,
                                mve_pred16_t used, int8_t *y)
{
    const int32x4_t x = vaddq_n_s32(acula_scaled(sums, multipliers, shifts), zero);
    vstrbq_p_s32(y, vmaxq_s32(vminq_s32(x, vdupq_n_s32(INT8_MAX)), vdupq_n_s32(INT8_MIN)), used);
}

/* Four channels of one pixel: rows of `size` bytes, one after the other. */
static inline int32x4_t acula_products(const int8_t *x, const int8_t *w, int32_t size, const int32_t *biases)
{
    const int8_t *w1 = w + size;
    const int8_t *w2 = w1 + size;
    const int8_t *w3 = w2 + size;
    int32_t sum0 = biases[0];
    int32_t sum1 = biases[1];
    int32_t sum2 = biases[2];
    int32_t sum3 = biases[3];
    for (int32_t block = size / BYTES; block > 0; --block) {
        const int8x16_t row = vldrbq_s8(x);
        sum0 = vmladavaq_s8(sum0, row, vldrbq_s8(w));
        sum1 = vmladavaq_s8(sum1, row, vldrbq_s8(w1));
        sum2 = vmladavaq_s8(sum2, row, vldrbq_s8(w2));
        sum3 = vmladavaq_s8(sum3, row, vldrbq_s8(w3));
        x += BYTES;
        w += BYTES;
        w1 += BYTES;
        w2 += BYTES;
        w3 += BYTES;
    }
    const int32_t rest = size % BYTES;
    if (rest > 0) {
        const mve_pred16_t used = vctp8q((uint32_t)rest);
        const int8x16_t row = vldrbq_z_s8(x, used);
        sum0 = vmladavaq_s8(sum0, row, vldrbq_z_s8(w, used));
        sum1 = vmladavaq_s8(sum1, row, vldrbq_z_s8(w1, used));
        sum2 = vmladavaq_s8(sum2, row, vldrbq_z_s8(w2, used));
        sum3 = vmladavaq_s8(sum3, row, vldrbq_z_s8(w3, used));
    }
    const int32x4_t sums = {sum0, sum1, sum2, sum3};
    return sums;
}

/* Four sums to INT8, all lanes. */
static inline void acula_finish_all(int32x4_t sums, int32x4_t multipliers, int32x4_t shifts, int32_t zero,
                                    int8_t *y)
{
    const int32x4_t x = vaddq_n_s32(acula_scaled(sums, multipliers, shifts), zero);
    vstrbq_s32(y, vmaxq_s32(vminq_s32(x, vdupq_n_s32(INT8_MAX)), vdupq_n_s32(INT8_MIN)));
}

/* Two pixels whose rows are no longer than a vector, by as many channels as come in fours. Lanes behind a row
 * are zero in both factors. */
__attribute__((noinline)) static void acula_short_rows(const acula_window_t *shape,
                                                       const acula_weights_t *weights, const int8_t *x, int8_t *y)
{
    const int32_t size = shape->row_bytes;
    const int32_t zero = shape->out_zero;
    const int32_t channels = shape->out_channels;
    const mve_pred16_t used = vctp8q((uint32_t)size);
    const int8x16_t row = vldrbq_z_s8(x, used);
    const int8x16_t other = vldrbq_z_s8(x + size, used);
    const int8_t *w = weights->weights;
    const int32_t *biases = weights->biases;
    const int32_t *multipliers = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    for (int32_t quad = channels / LANES; quad > 0; --quad) {
        const int8x16_t w0 = vldrbq_z_s8(w, used);
        const int8x16_t w1 = vldrbq_z_s8(w + size, used);
        w += 2 * size;
        const int8x16_t w2 = vldrbq_z_s8(w, used);
        const int8x16_t w3 = vldrbq_z_s8(w + size, used);
        w += 2 * size;
        const int32x4_t bias = vldrwq_s32(biases);
        const int32x4_t by = vldrwq_s32(multipliers);
        const int32x4_t shift = vldrwq_s32(shifts);
        const int32x4_t first = {vmladavq_s8(row, w0), vmladavq_s8(row, w1), vmladavq_s8(row, w2),
                                 vmladavq_s8(row, w3)};
        acula_finish_all(vaddq_s32(first, bias), by, shift, zero, y);
        const int32x4_t second = {vmladavq_s8(other, w0), vmladavq_s8(other, w1), vmladavq_s8(other, w2),
                                  vmladavq_s8(other, w3)};
        acula_finish_all(vaddq_s32(second, bias), by, shift, zero, y + channels);
        biases += LANES;
        multipliers += LANES;
        shifts += LANES;
        y += LANES;
    }
}

/* Two pixels, their rows one after the other, by as many channels as come in fours. */
__attribute__((noinline)) static void acula_long_rows(const acula_window_t *shape,
                                                      const acula_weights_t *weights, const int8_t *x, int8_t *y)
{
    const int32_t size = shape->row_bytes;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    const int8_t *w = weights->weights;
    for (int32_t c = 0; c + LANES <= channels; c += LANES) {
        const int32x4_t multipliers = vldrwq_s32(weights->multipliers + c);
        const int32x4_t shifts = vldrwq_s32(weights->shifts + c);
        const int32x4_t first = acula_products(x, w, size, weights->biases + c);
        acula_finish_all(first, multipliers, shifts, zero, y + c);
        const int32x4_t second = acula_products(x + size, w, size, weights->biases + c);
        acula_finish_all(second, multipliers, shifts, zero, y + channels + c);
        w += LANES * size;
    }
}

static void acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x, int8_t *y)
{
    if (shape->row_bytes <= BYTES) {
        acula_short_rows(shape, weights, x, y);
    } else {
        acula_long_rows(shape, weights, x, y);
    }
}

/* Channels that eight lanes of 16 bits hold. Even and odd ones become sums of 32 bits apart. */
#define EIGHT 8

/* Eight channels of one pixel of a depthwise convolution. */
static inline void acula_eight(const acula_weights_t *weights, const int8_t *const *taps, int32_t count,
                               int32_t channels, int32_t c, int32_t zero, int8_t *y)
{
    const int8_t *w = weights->weights + c;
    const int32x4x2_t biases = vld2q_s32(weights->biases + c);
    int32x4_t even = biases.val[0];
    int32x4_t odd = biases.val[1];
    for (int32_t tap = 0; tap < count; ++tap) {
        const int16x8_t x8 = vldrbq_s16(taps[tap] + c);
        const int16x8_t w8 = vldrbq_s16(w);
        even = vaddq_s32(even, vmullbq_int_s16(x8, w8));
        odd = vaddq_s32(odd, vmulltq_int_s16(x8, w8));
        w += channels;
    }
    const int32x4x2_t multipliers = vld2q_s32(weights->multipliers + c);
    const int32x4x2_t shifts = vld2q_s32(weights->shifts + c);
    even = acula_scaled(even, multipliers.val[0], shifts.val[0]);
    odd = acula_scaled(odd, multipliers.val[1], shifts.val[1]);
    int16x8_t made = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), vaddq_n_s32(even, zero)), vaddq_n_s32(odd, zero));
    made = vmaxq_s16(vminq_s16(made, vdupq_n_s16(INT8_MAX)), vdupq_n_s16(INT8_MIN));
    vstrbq_s16(y + c, made);
}

/* All channels of one pixel of a depthwise convolution: by eight, and a rest by four. */
__attribute__((noinline)) static void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                                                     const int8_t *const *taps, int8_t *y)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    int32_t c = 0;
    for (; c + EIGHT <= channels; c += EIGHT) {
        acula_eight(weights, taps, count, channels, c, zero, y);
    }
    for (; c < channels; c += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(channels - c));
        const int8_t *w = weights->weights + c;
        int32x4_t sums = vldrwq_z_s32(weights->biases + c, used);
        for (int32_t tap = 0; tap < count; ++tap) {
            sums = vaddq_s32(sums, vmulq_s32(vldrbq_z_s32(taps[tap] + c, used), vldrbq_z_s32(w, used)));
            w += channels;
        }
        const int32x4_t multipliers = vldrwq_z_s32(weights->multipliers + c, used);
        acula_finish(sums, multipliers, vldrwq_z_s32(weights->shifts + c, used), zero, used, y + c);
    }
}

#endif
