/* Parts of the front end for Helium: four numbers at a time, each by the same operations in the same order as in
 * plain C. Vectors take numbers below 2^-126 as zero; next to the floor of the logarithm they are nothing. */
#ifndef ACULA_FRONTEND_MVE_H
#define ACULA_FRONTEND_MVE_H

#include <arm_mve.h>

#include "acula_tables.h"

#define LANES 4

/* Loads do not move across: there are eight registers, and compilers begin all loads at once. */
#define HERE() __asm__ volatile("" ::: "memory")

/* Four complex numbers. */
typedef struct {
    float32x4_t re;
    float32x4_t im;
} complex_t;

ACULA_INLINE complex_t together(const float *z, uint32x4_t places)
{
    const complex_t x = {vldrwq_gather_shifted_offset_f32(z, places),
                         vldrwq_gather_shifted_offset_f32(z + 1, places)};
    return x;
}

ACULA_INLINE complex_t product(complex_t x, complex_t y)
{
    const complex_t made = {vsubq_f32(vmulq_f32(x.re, y.re), vmulq_f32(x.im, y.im)),
                            vaddq_f32(vmulq_f32(x.re, y.im), vmulq_f32(x.im, y.re))};
    return made;
}

ACULA_INLINE void apart(float *z, uint32x4_t places, float32x4_t re, float32x4_t im)
{
    vstrwq_scatter_shifted_offset_f32(z, places, re);
    vstrwq_scatter_shifted_offset_f32(z + 1, places, im);
}

/* Four samples times the steps of the window to the next ones, and the steps to the next samples times the window. */
ACULA_INLINE float32x4_t differences(int32x4_t x, int32x4_t next, float32x4_t window, float32x4_t slope)
{
    const float32x4_t ahead = vcvtq_f32_s32(vsubq_s32(next, x));
    return vaddq_f32(vmulq_f32(ahead, window), vmulq_f32(vcvtq_f32_s32(x), slope));
}

/* Differences of the windowed samples as complex numbers, even ones real, in the order that the transform starts
 * from. */
static void load(const int16_t *samples, float *z)
{
    for (int32_t i = 0; i < POINTS; i += LANES) {
        const uint32x4_t even = vshlq_n_u32(vldrhq_u32(acula_order + i), 1);
        const int32x4_t first = vldrhq_gather_shifted_offset_s32(samples, even);
        const int32x4_t second = vldrhq_gather_shifted_offset_s32(samples + 1, even);
        const int32x4_t third = vldrhq_gather_shifted_offset_s32(samples + 2, even);
        const float32x4x4_t window = vld4q_f32(acula_window + (4 * i));
        const float32x4x2_t made = {{differences(first, second, window.val[0], window.val[1]),
                                     differences(second, third, window.val[2], window.val[3])}};
        vst2q_f32(z + (2 * i), made);
    }
}

#if ACULA_RADIX_2_FIRST
static void pairs(float *z)
{
    for (int32_t i = 0; i < 2 * POINTS; i += 4 * LANES) {
        const float32x4x4_t x = vld4q_f32(z + i);
        const float32x4x4_t made = {{vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3]),
                                     vsubq_f32(x.val[0], x.val[2]), vsubq_f32(x.val[1], x.val[3])}};
        vst4q_f32(z + i, made);
    }
}
#endif

/* Four times four numbers that lie `gap` floats apart, turned by the powers of a root for each. */
ACULA_INLINE void butterflies(float *a, int32_t gap, uint32x4_t places, int32_t root, uint32x4_t turns)
{
    float *b = a + gap;
    float *c = b + gap;
    float *d = c + gap;
    const complex_t turned_c = product(together(c, places),
                                       together(acula_roots + (2 * root), vmulq_n_u32(turns, 2)));
    const complex_t first = together(a, places);
    const complex_t even = {vaddq_f32(first.re, turned_c.re), vaddq_f32(first.im, turned_c.im)};
    const complex_t odd = {vsubq_f32(first.re, turned_c.re), vsubq_f32(first.im, turned_c.im)};
    HERE();
    const complex_t turned_b = product(together(b, places), together(acula_roots + root, turns));
    HERE();
    const complex_t turned_d = product(together(d, places),
                                       together(acula_roots + (3 * root), vmulq_n_u32(turns, 3)));
    const complex_t sum = {vaddq_f32(turned_b.re, turned_d.re), vaddq_f32(turned_b.im, turned_d.im)};
    /* -i (b - d) */
    const complex_t turned = {vsubq_f32(turned_b.im, turned_d.im), vsubq_f32(turned_d.re, turned_b.re)};
    apart(a, places, vaddq_f32(even.re, sum.re), vaddq_f32(even.im, sum.im));
    apart(b, places, vaddq_f32(odd.re, turned.re), vaddq_f32(odd.im, turned.im));
    apart(c, places, vsubq_f32(even.re, sum.re), vsubq_f32(even.im, sum.im));
    apart(d, places, vsubq_f32(odd.re, turned.re), vsubq_f32(odd.im, turned.im));
}

/* Four neighbours at a time; where there are fewer, the same one of four groups. */
static void steps(float *z, int32_t quarter, int32_t root)
{
    const bool neighbours = quarter >= LANES;
    const int32_t next = neighbours ? LANES : 1;
    const int32_t groups = neighbours ? 1 : LANES;
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 2), (uint32_t)(neighbours ? 1 : (4 * quarter)));
    const uint32x4_t turns = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)(neighbours ? root : 0));
    for (int32_t k = 0; k < quarter; k += next) {
        for (int32_t start = 2 * k; start < 2 * POINTS; start += 8 * groups * quarter) {
            butterflies(z + start, 2 * quarter, places, k * root, turns);
        }
    }
}

static void transform(float *z)
{
    int32_t quarter = 1;
#if ACULA_RADIX_2_FIRST
    pairs(z);
    quarter = 2;
#endif
    for (; quarter < POINTS; quarter *= 4) {
        const int32_t root = ACULA_N_FFT / (2 * quarter); /* floats between neighbouring roots */
        steps(z, quarter, root);
    }
}

/* Four times the power of bin k goes to z[2 k]. Bins 0 and n_fft / 2 stand in no mel band. */
static void powers(float *z)
{
    const uint32x4_t up = vidupq_n_u32(0, 2);
    const uint32x4_t down = vddupq_n_u32(6, 2);
    for (int32_t k = 1; k <= POINTS / 2; k += LANES) {
        float *near = z + (2 * k);
        float *far = z + (2 * (POINTS - k - (LANES - 1)));
        const complex_t x = together(near, up);
        const complex_t y = together(far, down);
        const complex_t root = together(acula_roots + (2 * k), up);
        const float32x4_t even_re = vaddq_f32(x.re, y.re);
        const float32x4_t even_im = vsubq_f32(x.im, y.im);
        const float32x4_t odd_re = vsubq_f32(x.re, y.re);
        const float32x4_t odd_im = vaddq_f32(x.im, y.im);
        /* -i root odd */
        const float32x4_t turned_re = vaddq_f32(vmulq_f32(odd_im, root.re), vmulq_f32(odd_re, root.im));
        const float32x4_t turned_im = vsubq_f32(vmulq_f32(odd_im, root.im), vmulq_f32(odd_re, root.re));
        const float32x4_t near_re = vaddq_f32(even_re, turned_re);
        const float32x4_t near_im = vaddq_f32(even_im, turned_im);
        const float32x4_t far_re = vsubq_f32(even_re, turned_re);
        const float32x4_t far_im = vsubq_f32(even_im, turned_im);
        const float32x4_t far_power = vaddq_f32(vmulq_f32(far_re, far_re), vmulq_f32(far_im, far_im));
        const float32x4_t near_power = vaddq_f32(vmulq_f32(near_re, near_re), vmulq_f32(near_im, near_im));
        vstrwq_scatter_shifted_offset_f32(far, down, far_power);
        vstrwq_scatter_shifted_offset_f32(near, up, near_power);
    }
}

/* Natural logarithm of positive, normal numbers; S. L. Moshier's logf, Cephes 2.2. */
static float32x4_t logarithms(float32x4_t x)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    int32x4_t exponent = vsubq_n_s32(vreinterpretq_s32_u32(vshrq_n_u32(bits, 23)), 126);
    const uint32x4_t mantissa = vandq_u32(bits, vdupq_n_u32(0x007fffffu));
    float32x4_t m = vreinterpretq_f32_u32(vorrq_u32(mantissa, vdupq_n_u32(0x3f000000u))); /* 0.5 <= m < 1 */
    const mve_pred16_t low = vcmpltq_n_f32(m, 0.707106781186547524f);
    exponent = vsubq_m_n_s32(exponent, exponent, 1, low);
    m = vsubq_n_f32(vaddq_m_f32(m, m, m, low), 1.0f);
    const float32x4_t e = vcvtq_f32_s32(exponent);
    const float32x4_t square = vmulq_f32(m, m);
    float32x4_t y = vdupq_n_f32(7.0376836292e-2f);
    y = vsubq_n_f32(vmulq_f32(y, m), 1.1514610310e-1f);
    y = vaddq_n_f32(vmulq_f32(y, m), 1.1676998740e-1f);
    y = vsubq_n_f32(vmulq_f32(y, m), 1.2420140846e-1f);
    y = vaddq_n_f32(vmulq_f32(y, m), 1.4249322787e-1f);
    y = vsubq_n_f32(vmulq_f32(y, m), 1.6668057665e-1f);
    y = vaddq_n_f32(vmulq_f32(y, m), 2.0000714765e-1f);
    y = vsubq_n_f32(vmulq_f32(y, m), 2.4999993993e-1f);
    y = vaddq_n_f32(vmulq_f32(y, m), 3.3333331174e-1f);
    y = vmulq_f32(vmulq_f32(y, m), square);
    y = vaddq_f32(y, vmulq_n_f32(e, -2.12194440e-4f));
    y = vsubq_f32(y, vmulq_n_f32(square, 0.5f));
    return vaddq_f32(vaddq_f32(m, y), vmulq_n_f32(e, 0.693359375f));
}

/* Sums of four bands from band `m` on, each from its first bin to its last. */
ACULA_INLINE float32x4_t weighted(const float *z, int32_t m, mve_pred16_t used)
{
    const uint16_t *band = &acula_bands[m].first;
    const uint32x4_t bands = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)(sizeof acula_bands[0] / sizeof *band));
    uint32x4_t power = vshlq_n_u32(vldrhq_gather_shifted_offset_z_u32(band, bands, used), 1);
    uint32x4_t left = vldrhq_gather_shifted_offset_z_u32(band + 1, bands, used);
    uint32x4_t weight = vldrhq_gather_shifted_offset_z_u32(band + 2, bands, used);
    float32x4_t sum = vdupq_n_f32(0.0f);
    for (uint32_t most = vmaxvq_u32(0, left); most > 0u; --most) {
        const mve_pred16_t some = vcmpneq_n_u32(left, 0);
        const float32x4_t x = vldrwq_gather_shifted_offset_z_f32(z, power, some);
        const float32x4_t w = vldrwq_gather_shifted_offset_z_f32(acula_band_weights, weight, some);
        sum = vaddq_f32(sum, vmulq_f32(x, w));
        power = vaddq_n_u32(power, 2);
        weight = vaddq_n_u32(weight, 1);
        left = vqsubq_n_u32(left, 1);
    }
    return sum;
}

/* Features of all mel bands from the powers. */
static void bands(const float *z, int8_t *features)
{
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), ACULA_MEL_STEP);
    for (int32_t m = 0; m < ACULA_N_MELS; m += LANES) {
        const mve_pred16_t used = vctp32q((uint32_t)(ACULA_N_MELS - m));
        const float32x4_t sum = vmaxnmq_f32(weighted(z, m, used), vldrwq_z_f32(acula_floors + m, used));
        const float32x4_t x = vmulq_f32(logarithms(sum), vldrwq_z_f32(acula_gains + m, used));
        const float32x4_t least = vmaxnmq_f32(x, vdupq_n_f32(STEPS_LEAST));
        const float32x4_t steps = vaddq_n_f32(vminnmq_f32(least, vdupq_n_f32(STEPS_MOST)), WHOLE);
        const int32x4_t made = vaddq_n_s32(vcvtq_s32_f32(vsubq_n_f32(steps, WHOLE)), ACULA_FEATURES_ZERO);
        vstrbq_scatter_offset_p_s32(features + (m * ACULA_MEL_STEP), places, made, used);
    }
}

#endif
