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

/* Four sums of neighbouring channels to INT8; only the lanes of `used` are written. */
static inline void acula_finish(int32x4_t sums, const int32_t *multipliers, const int32_t *shifts, int32_t zero,
                                mve_pred16_t used, int8_t *y)
{
    const int32x4_t shift = vldrwq_z_s32(shifts, used);
    const int32x4_t left = vmaxq_s32(shift, vdupq_n_s32(0));
    const int32x4_t right = vminq_s32(shift, vdupq_n_s32(0));
    int32x4_t x = vqrdmulhq_s32(vshlq_s32(sums, left), vldrwq_z_s32(multipliers, used));
    /* Halves go away from zero: one less below zero, where there is a shift to the right. */
    x = vaddq_s32(x, vshrq_n_s32(vandq_s32(x, right), 31));
    x = vaddq_n_s32(vrshlq_s32(x, right), zero);
    x = vmaxq_s32(vminq_s32(x, vdupq_n_s32(INT8_MAX)), vdupq_n_s32(INT8_MIN));
    vstrbq_p_s32(y, x, used);
}

/* Four channels of one pixel: rows of `size` bytes, one after the other. */
static inline int32x4_t acula_products(const int8_t *x, const int8_t *w, int32_t size, int32x4_t biases)
{
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    for (int32_t k = 0; k < size; k += BYTES) {
        const mve_pred16_t used = vctp8q((uint32_t)(size - k));
        const int8x16_t row = vldrbq_z_s8(x + k, used);
        sum0 = vmladavaq_s8(sum0, row, vldrbq_z_s8(w + k, used));
        sum1 = vmladavaq_s8(sum1, row, vldrbq_z_s8(w + size + k, used));
        sum2 = vmladavaq_s8(sum2, row, vldrbq_z_s8(w + (2 * size) + k, used));
        sum3 = vmladavaq_s8(sum3, row, vldrbq_z_s8(w + (3 * size) + k, used));
    }
    const int32x4_t sums = {sum0, sum1, sum2, sum3};
    return vaddq_s32(sums, biases);
}

/* Two pixels, their rows one after the other, by as many channels as come in fours. */
static void acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x, int8_t *y)
{
    const int32_t size = shape->row_bytes;
    const int32_t channels = shape->out_channels;
    const mve_pred16_t all = vctp32q(LANES);
    for (int32_t c = 0; c + LANES <= channels; c += LANES) {
        const int8_t *w = weights->weights + (c * size);
        const int32_t *multipliers = weights->multipliers + c;
        const int32_t *shifts = weights->shifts + c;
        const int32x4_t biases = vldrwq_s32(weights->biases + c);
        const int32x4_t first = acula_products(x, w, size, biases);
        const int32x4_t second = acula_products(x + size, w, size, biases);
        acula_finish(first, multipliers, shifts, shape->out_zero, all, y + c);
        acula_finish(second, multipliers, shifts, shape->out_zero, all, y + channels + c);
    }
}

/* All channels of one pixel of a depthwise convolution, four at once. */
static void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                           const int8_t *const *taps, int8_t *y)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    for (int32_t c = 0; c < channels; c += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(channels - c));
        const int8_t *w = weights->weights + c;
        int32x4_t sums = vldrwq_z_s32(weights->biases + c, used);
        for (int32_t tap = 0; tap < count; ++tap) {
            sums = vaddq_s32(sums, vmulq_s32(vldrbq_z_s32(taps[tap] + c, used), vldrbq_z_s32(w, used)));
            w += channels;
        }
        acula_finish(sums, weights->multipliers + c, weights->shifts + c, shape->out_zero, used, y + c);
    }
}

#endif
