/* Depthwise convolutions for cores with Helium (Cortex-M55). */
#ifndef ACULA_MVE_CHANNELS_H
#define ACULA_MVE_CHANNELS_H

#include "acula_kernels.h"
#include "acula_mve_lanes.h"

/* Every fourth of 16 numbers. */
#define ACULA_FOURTH(numbers, places) vldrwq_gather_shifted_offset_s32((numbers), (places))

/* Every fourth of 16 channels, from their sums. */
ACULA_INLINE int32x4_t acula_finish(int32x4_t sums, const acula_weights_t *weights, int32_t c, uint32x4_t places,
                                    int32_t zero, bool plain)
{
    const int32x4_t by = ACULA_FOURTH(weights->multipliers + c, places);
    const int32x4_t shifts = ACULA_FOURTH(weights->shifts + c, places);
    return vaddq_n_s32(acula_scaled(sums, by, shifts, plain), zero);
}

/* Both products of two taps fit into 16 bits: a weight is never -128. */
ACULA_INLINE void acula_add_pair(int16x8_t even, int16x8_t odd, int32x4_t *sums)
{
    sums[0] = vaddq_s32(sums[0], vmovlbq_s16(even));
    sums[1] = vaddq_s32(sums[1], vmovltq_s16(even));
    sums[2] = vaddq_s32(sums[2], vmovlbq_s16(odd));
    sums[3] = vaddq_s32(sums[3], vmovltq_s16(odd));
}

/* Sixteen channels of one pixel of a depthwise convolution. */
ACULA_INLINE void acula_sixteen(const acula_weights_t *weights, const int8_t *const *taps, int32_t count,
                                int32_t channels, int32_t at, int32_t c, int32_t zero, int8_t *y, bool plain)
{
    const int8_t *w = weights->weights + c;
    const uint32x4_t places = vidupq_n_u32(0, 4);
    const int32_t *biases = weights->biases + c;
    /* As they come out of products of 16 channels: those of even places, then those of odd ones. */
    int32x4_t sums[4] = {ACULA_FOURTH(biases, places), ACULA_FOURTH(biases + 2, places), ACULA_FOURTH(biases + 1, places),
                         ACULA_FOURTH(biases + 3, places)};
    for (int32_t pair = count / 2; pair > 0; --pair) {
        const int8x16_t x0 = vldrbq_s8(*taps++ + at + c);
        const int8x16_t w0 = vldrbq_s8(w);
        w += channels;
        int16x8_t even = vmullbq_int_s8(x0, w0);
        int16x8_t odd = vmulltq_int_s8(x0, w0);
        const int8x16_t x1 = vldrbq_s8(*taps++ + at + c);
        const int8x16_t w1 = vldrbq_s8(w);
        w += channels;
        even = vaddq_s16(even, vmullbq_int_s8(x1, w1));
        odd = vaddq_s16(odd, vmulltq_int_s8(x1, w1));
        acula_add_pair(even, odd, sums);
    }
    if ((count % 2) != 0) {
        const int8x16_t x0 = vldrbq_s8(*taps + at + c);
        const int8x16_t w0 = vldrbq_s8(w);
        acula_add_pair(vmullbq_int_s8(x0, w0), vmulltq_int_s8(x0, w0), sums);
    }
    const int32x4_t made0 = acula_finish(sums[0], weights, c, places, zero, plain);
    const int32x4_t made2 = acula_finish(sums[1], weights, c + 2, places, zero, plain);
    const int32x4_t made1 = acula_finish(sums[2], weights, c + 1, places, zero, plain);
    const int32x4_t made3 = acula_finish(sums[3], weights, c + 3, places, zero, plain);
    const int16x8_t even = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(made0), made0), made2);
    const int16x8_t odd = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(made1), made1), made3);
    vstrbq_s8(y + c, vqmovntq_s16(vqmovnbq_s16(vreinterpretq_s8_s16(even), even), odd));
}

/* Eight sums, of even and of odd channels, to INT8. */
ACULA_INLINE void acula_finish_eight(const acula_weights_t *weights, int32x4_t even, int32x4_t odd, int32_t c,
                                     int32_t zero, int8_t *y, bool plain)
{
    const int32x4x2_t by = vld2q_s32(weights->multipliers + c);
    const int32x4x2_t shift = vld2q_s32(weights->shifts + c);
    even = vaddq_n_s32(acula_scaled(even, by.val[0], shift.val[0], plain), zero);
    odd = vaddq_n_s32(acula_scaled(odd, by.val[1], shift.val[1], plain), zero);
    const int16x8_t made = vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(even), even), odd);
    vstrbq_s16(y + c, vreinterpretq_s16_s8(vqmovnbq_s16(vreinterpretq_s8_s16(made), made)));
}

/* Eight channels of one pixel. Even and odd ones become sums of 32 bits apart. */
ACULA_INLINE void acula_eight(const acula_weights_t *weights, const int8_t *const *taps, int32_t count,
                              int32_t channels, int32_t at, int32_t c, int32_t zero, int8_t *y, bool plain)
{
    const int8_t *w = weights->weights + c;
    const int32x4x2_t biases = vld2q_s32(weights->biases + c);
    int32x4_t even = biases.val[0];
    int32x4_t odd = biases.val[1];
    for (int32_t tap = 0; tap < count; ++tap) {
        const int16x8_t x8 = vldrbq_s16(taps[tap] + at + c);
        const int16x8_t w8 = vldrbq_s16(w);
        even = vaddq_s32(even, vmullbq_int_s16(x8, w8));
        odd = vaddq_s32(odd, vmulltq_int_s16(x8, w8));
        w += channels;
    }
    acula_finish_eight(weights, even, odd, c, zero, y, plain);
}

/* Eight sums of two taps each, to those of even and of odd channels. */
ACULA_INLINE void acula_add_eight(int16x8_t products, int32x4_t *even, int32x4_t *odd)
{
    *even = vaddq_s32(*even, vmovlbq_s16(products));
    *odd = vaddq_s32(*odd, vmovltq_s16(products));
}

/* Eight channels of two pixels `step` bytes apart. */
ACULA_INLINE void acula_two_pixels(const acula_window_t *shape, const acula_weights_t *weights,
                                   const int8_t *const *taps, int32_t at, int32_t step, int8_t *y, int8_t *next,
                                   bool plain)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int8_t *w = weights->weights;
    const int32x4x2_t biases = vld2q_s32(weights->biases);
    int32x4_t even0 = biases.val[0];
    int32x4_t odd0 = biases.val[1];
    int32x4_t even1 = even0;
    int32x4_t odd1 = odd0;
    for (int32_t pair = count / 2; pair > 0; --pair) {
        const int8_t *a = *taps++ + at;
        const int8_t *b = *taps++ + at;
        const int16x8_t w0 = vldrbq_s16(w);
        const int16x8_t w1 = vldrbq_s16(w + EIGHT);
        w += 2 * EIGHT;
        const int16x8_t first = vmulq_s16(vldrbq_s16(a), w0);
        acula_add_eight(vaddq_s16(first, vmulq_s16(vldrbq_s16(b), w1)), &even0, &odd0);
        const int16x8_t second = vmulq_s16(vldrbq_s16(a + step), w0);
        acula_add_eight(vaddq_s16(second, vmulq_s16(vldrbq_s16(b + step), w1)), &even1, &odd1);
    }
    if ((count % 2) != 0) {
        const int16x8_t w0 = vldrbq_s16(w);
        acula_add_eight(vmulq_s16(vldrbq_s16(*taps + at), w0), &even0, &odd0);
        acula_add_eight(vmulq_s16(vldrbq_s16(*taps + at + step), w0), &even1, &odd1);
    }
    acula_finish_eight(weights, even0, odd0, 0, shape->out_zero, y, plain);
    acula_finish_eight(weights, even1, odd1, 0, shape->out_zero, next, plain);
}

/* Up to four channels of one pixel. */
ACULA_INLINE void acula_rest(const acula_weights_t *weights, const int8_t *const *taps, int32_t count,
                             int32_t channels, int32_t at, int32_t c, int32_t zero, int8_t *y)
{
    const mve_pred16_t used = vctp32q((uint32_t)(channels - c));
    const int8_t *w = weights->weights + c;
    int32x4_t sums = vldrwq_z_s32(weights->biases + c, used);
    for (int32_t tap = 0; tap < count; ++tap) {
        sums = vaddq_s32(sums, vmulq_s32(vldrbq_z_s32(taps[tap] + at + c, used), vldrbq_z_s32(w, used)));
        w += channels;
    }
    const int32x4_t by = vldrwq_z_s32(weights->multipliers + c, used);
    const int32x4_t made = acula_scaled(sums, by, vldrwq_z_s32(weights->shifts + c, used), false);
    vstrbq_p_s32(y + c, acula_narrow(vaddq_n_s32(made, zero)), used);
}

/* All channels of one pixel of a depthwise convolution. */
ACULA_INLINE void acula_channels(const acula_window_t *shape, const acula_weights_t *weights,
                                    const int8_t *const *taps, int32_t at, int8_t *y, bool plain)
{
    const int32_t count = shape->kernel_height * shape->kernel_width;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    int32_t c = 0;
    for (; c + SIXTEEN <= channels; c += SIXTEEN) {
        acula_sixteen(weights, taps, count, channels, at, c, zero, y, plain);
    }
    for (; c + EIGHT <= channels; c += EIGHT) {
        acula_eight(weights, taps, count, channels, at, c, zero, y, plain);
    }
    for (; c < channels; c += LANES) {
        acula_rest(weights, taps, count, channels, at, c, zero, y);
    }
}

#endif
