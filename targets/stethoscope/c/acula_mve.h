/* Inner loops for cores with Helium (Cortex-M55): 16 products, or 4 sums, in one instruction. */
#ifndef ACULA_MVE_H
#define ACULA_MVE_H

#include "acula_kernels.h"
#include "acula_mve_lanes.h"

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
