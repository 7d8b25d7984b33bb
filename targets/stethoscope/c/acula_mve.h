/* Inner loops for cores with Helium (Cortex-M55): 16 products, or 4 sums, in one instruction. */
#ifndef ACULA_MVE_H
#define ACULA_MVE_H

#include <arm_mve.h>

#include "acula_kernels.h"
#include "acula_scale.h"

#define LANES 4
#define EIGHT 8
#define SIXTEEN 16

/* Channels that acula_rows computes at once: it leaves a rest of them. */
#define ACULA_TOGETHER 4u

/* Sums that acula_dots makes at once. */
#define ACULA_DOTS 4

/* Ways of computing two pixels: rows of more than a vector or not, and plain rounding or any. */
typedef enum { ACULA_ANY, ACULA_PLAIN, ACULA_SHORT, ACULA_SHORT_PLAIN } acula_way_t;

static inline acula_way_t acula_way(const acula_window_t *shape, bool plain)
{
    if (shape->row_bytes > SIXTEEN) {
        return plain ? ACULA_PLAIN : ACULA_ANY;
    }
    return plain ? ACULA_SHORT_PLAIN : ACULA_SHORT;
}

/* Whether every channel's factor is shifted to the right. */
static inline bool acula_all_right(const int32_t *shifts, int32_t channels)
{
    int32_t most = INT32_MIN;
    for (int32_t i = 0; i < channels; i += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(channels - i));
        most = vmaxvq_p_s32(most, vldrwq_z_s32(shifts + i, used), used);
    }
    return most < 0;
}

/* Four sums by the factors of their channels. Halves go away from zero: one less below zero, where there is a
 * shift to the right. Plain: there is one in every lane, and what lies below zero is cut off later. */
ACULA_INLINE int32x4_t acula_scaled(int32x4_t sums, int32x4_t multipliers, int32x4_t shifts, bool plain)
{
    if (plain) {
        return vrshlq_s32(vqrdmulhq_s32(sums, multipliers), shifts);
    }
    const int32x4_t right = vminq_s32(shifts, vdupq_n_s32(0));
    const int32x4_t x = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shifts, vdupq_n_s32(0))), multipliers);
    return vrshlq_s32(vaddq_s32(x, vshrq_n_s32(vandq_s32(x, right), 31)), right);
}

/* Four numbers kept to INT8, in the lowest byte of each lane. */
ACULA_INLINE int32x4_t acula_narrow(int32x4_t x)
{
    __asm__("vqmovnb.s32 %q0, %q0\n\tvqmovnb.s16 %q0, %q0" : "+w"(x));
    return x;
}

/* Four numbers as a vector. */
ACULA_INLINE int32x4_t acula_vector(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t x;
    __asm__("vmov %e[x], %[a], %[b]\n\tvmov %f[x], %[c], %[d]"
            : [x] "=&w"(x)
            : [a] "r"(a), [b] "r"(b), [c] "r"(c), [d] "r"(d));
    return x;
}

/* Products of one row with four rows of weights, `size` bytes each, one row after the other. */
ACULA_INLINE int32x4_t acula_products(const int8_t *x, const int8_t *w, int32_t size)
{
    const int8_t *w1 = w + size;
    const int8_t *w2 = w1 + size;
    const int8_t *w3 = w2 + size;
    int32_t sum0 = 0;
    int32_t sum1 = 0;
    int32_t sum2 = 0;
    int32_t sum3 = 0;
    __asm__("dlstp.8 lr, %[size]\n"
            "1:\n\t"
            "vldrb.8 q0, [%[x]], #16\n\t"
            "vldrb.8 q1, [%[w]], #16\n\t"
            "vmladava.s8 %[sum0], q0, q1\n\t"
            "vldrb.8 q2, [%[w1]], #16\n\t"
            "vmladava.s8 %[sum1], q0, q2\n\t"
            "vldrb.8 q1, [%[w2]], #16\n\t"
            "vmladava.s8 %[sum2], q0, q1\n\t"
            "vldrb.8 q2, [%[w3]], #16\n\t"
            "vmladava.s8 %[sum3], q0, q2\n\t"
            "letp lr, 1b"
            : [x] "+r"(x), [w] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [sum0] "+Te"(sum0),
              [sum1] "+Te"(sum1), [sum2] "+Te"(sum2), [sum3] "+Te"(sum3)
            : [size] "r"(size)
            : "q0", "q1", "q2", "lr", "memory");
    return acula_vector(sum0, sum1, sum2, sum3);
}

/* Products of one row with `count` rows of weights, four at most. */
static void acula_dots(const int8_t *x, const int8_t *w, int32_t size, int32_t count, int32_t *sums)
{
    if (count == LANES) {
        vstrwq_s32(sums, acula_products(x, w, size));
        return;
    }
    for (int32_t i = 0; i < count; ++i) {
        sums[i] = 0;
        for (int32_t k = 0; k < size; ++k) {
            sums[i] += (int32_t)x[k] * (int32_t)w[k];
        }
        w += size;
    }
}

/* Pixels, their rows one after the other, by as many channels as come in fours. */
ACULA_INLINE void acula_long_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                                  int32_t count, int8_t *y, bool plain)
{
    const int32_t size = shape->row_bytes;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    const int8_t *w = weights->weights;
    for (int32_t c = 0; c + LANES <= channels; c += LANES) {
        const int32x4_t biases = vldrwq_s32(weights->biases + c);
        const int32x4_t by = vldrwq_s32(weights->multipliers + c);
        const int32x4_t shifts = vldrwq_s32(weights->shifts + c);
        const int8_t *row = x;
        int8_t *to = y + c;
        for (int32_t i = count; i > 0; --i) {
            const int32x4_t sums = vaddq_s32(acula_products(row, w, size), biases);
            vstrbq_s32(to, acula_narrow(vaddq_n_s32(acula_scaled(sums, by, shifts, plain), zero)));
            row += size;
            to += channels;
        }
        w += LANES * size;
    }
}

/* Four rows of weights that are no longer than a vector, by a loop of one round: nothing behind a row is read. */
ACULA_INLINE const int8_t *acula_load_rows(const int8_t *w, int32_t size, int8x16_t *rows)
{
    const int8_t *w1 = w + size;
    const int8_t *w2 = w1 + size;
    const int8_t *w3 = w2 + size;
    __asm__("dlstp.8 lr, %[size]\n"
            "1:\n\t"
            "vldrb.8 %q[row0], [%[w]]\n\t"
            "vldrb.8 %q[row1], [%[w1]]\n\t"
            "vldrb.8 %q[row2], [%[w2]]\n\t"
            "vldrb.8 %q[row3], [%[w3]]\n\t"
            "letp lr, 1b"
            : [row0] "=&w"(rows[0]), [row1] "=&w"(rows[1]), [row2] "=&w"(rows[2]), [row3] "=&w"(rows[3])
            : [size] "r"(size), [w] "r"(w), [w1] "r"(w1), [w2] "r"(w2), [w3] "r"(w3)
            : "lr", "memory");
    return w3 + size;
}

/* Four channels of a pixel whose row is no longer than a vector. */
ACULA_INLINE int32x4_t acula_short_products(int8x16_t x, const int8x16_t *rows)
{
    return acula_vector(vmladavq_s8(x, rows[0]), vmladavq_s8(x, rows[1]), vmladavq_s8(x, rows[2]),
                        vmladavq_s8(x, rows[3]));
}

/* The same where a row is no longer than a vector. */
ACULA_INLINE void acula_short_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                                   int32_t count, int8_t *y, bool plain)
{
    const int32_t size = shape->row_bytes;
    const int32_t channels = shape->out_channels;
    const int32_t zero = shape->out_zero;
    const mve_pred16_t used = vctp8q((uint32_t)size);
    const int8_t *w = weights->weights;
    for (int32_t c = 0; c + LANES <= channels; c += LANES) {
        const int32x4_t biases = vldrwq_s32(weights->biases + c);
        const int32x4_t by = vldrwq_s32(weights->multipliers + c);
        const int32x4_t shifts = vldrwq_s32(weights->shifts + c);
        int8x16_t rows[LANES];
        w = acula_load_rows(w, size, rows);
        const int8_t *row = x;
        int8_t *to = y + c;
        for (int32_t i = count; i > 0; --i) {
            const int32x4_t sums = vaddq_s32(acula_short_products(vldrbq_z_s8(row, used), rows), biases);
            vstrbq_s32(to, acula_narrow(vaddq_n_s32(acula_scaled(sums, by, shifts, plain), zero)));
            row += size;
            to += channels;
        }
    }
}

/* `count` pixels; returns how many are done: all. */
ACULA_INLINE int32_t acula_rows(const acula_window_t *shape, const acula_weights_t *weights, const int8_t *x,
                                int32_t count, int8_t *y, acula_way_t way)
{
    if ((way == ACULA_SHORT) || (way == ACULA_SHORT_PLAIN)) {
        acula_short_rows(shape, weights, x, count, y, way == ACULA_SHORT_PLAIN);
    } else {
        acula_long_rows(shape, weights, x, count, y, way == ACULA_PLAIN);
    }
    return count;
}

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

/* Sums of each channel over all pixels, added to what they were. */
ACULA_INLINE void acula_sum_pixels(const acula_mean_t *shape, const int8_t *given, int32_t *sums)
{
    const int32_t channels = shape->channels;
    const int32_t zeros = shape->pixels * shape->in_zero;
    for (int32_t c = 0; c < channels; c += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(channels - c));
        int32x4_t sum = vsubq_n_s32(vldrwq_z_s32(sums + c, used), zeros);
        const int8_t *pixel = given + c;
        for (int32_t i = shape->pixels; i > 0; --i) {
            sum = vaddq_s32(sum, vldrbq_z_s32(pixel, used));
            pixel += channels;
        }
        vstrwq_p_s32(sums + c, sum, used);
    }
}

/* Sums by one factor, to INT8. */
ACULA_INLINE void acula_scale_all(const int32_t *sums, int32_t count, int32_t multiplier, int32_t shift,
                                  int32_t zero, int8_t *made)
{
    for (int32_t i = 0; i < count; i += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(count - i));
        const int32x4_t sum = vldrwq_z_s32(sums + i, used);
        const int32x4_t x = acula_scaled(sum, vdupq_n_s32(multiplier), vdupq_n_s32(shift), false);
        vstrbq_p_s32(made + i, acula_narrow(vaddq_n_s32(x, zero)), used);
    }
}

/* One input of an addition by its factor. */
ACULA_INLINE int32x4_t acula_addend(const int8_t *x, int32_t zero, int32_t multiplier, int32_t shift)
{
    const int32x4_t large = vshlq_n_s32(vsubq_n_s32(vldrbq_s32(x), zero), ACULA_ADD_LEFT);
    return acula_scaled(large, vdupq_n_s32(multiplier), vdupq_n_s32(shift), false);
}

/* An addition, by vectors; returns how many numbers are done. */
ACULA_INLINE int32_t acula_add_vectors(const acula_add_t *shape, const acula_weights_t *weights, const int8_t *first,
                                 const int8_t *second, int8_t *made)
{
    const int32_t *by = weights->multipliers;
    const int32_t *shifts = weights->shifts;
    int32_t done = 0;
    for (; done + LANES <= shape->count; done += LANES) {
        const int32x4_t a = acula_addend(first + done, shape->first_zero, by[0], shifts[0]);
        const int32x4_t b = acula_addend(second + done, weights->zero, by[1], shifts[1]);
        int32x4_t x = acula_scaled(vaddq_s32(a, b), vdupq_n_s32(by[2]), vdupq_n_s32(shifts[2]), false);
        x = vmaxq_s32(vaddq_n_s32(x, shape->out_zero), vdupq_n_s32(shape->low));
        vstrbq_s32(made + done, vminq_s32(x, vdupq_n_s32(shape->high)));
    }
    return done;
}

#endif
