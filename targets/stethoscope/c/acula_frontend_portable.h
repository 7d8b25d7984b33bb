/* Parts of the front end in plain C99. */
#ifndef ACULA_FRONTEND_PORTABLE_H
#define ACULA_FRONTEND_PORTABLE_H

#include <string.h>

#include "acula_tables.h"

/* Differences of the windowed samples as complex numbers, even ones real, in the order that the transform starts
 * from. */
static void load(const int16_t *samples, float *z)
{
    const float *window = acula_window;
    for (int32_t i = 0; i < 2 * POINTS; i += 2) {
        const int16_t *x = samples + (2 * (int32_t)acula_order[i / 2]);
        z[i] = ((float)(x[1] - x[0]) * window[0]) + ((float)x[0] * window[1]);
        z[i + 1] = ((float)(x[2] - x[1]) * window[2]) + ((float)x[1] * window[3]);
        window += 4;
    }
}

#if ACULA_RADIX_2_FIRST
static void pairs(float *z)
{
    for (int32_t i = 0; i < 2 * POINTS; i += 4) {
        const float re = z[i];
        const float im = z[i + 1];
        z[i] = re + z[i + 2];
        z[i + 1] = im + z[i + 3];
        z[i + 2] = re - z[i + 2];
        z[i + 3] = im - z[i + 3];
    }
}
#endif

/* Four numbers that lie `gap` floats apart, turned by the powers of one root. */
static inline void butterfly(float *a, int32_t gap, int32_t root)
{
    float *b = a + gap;
    float *c = b + gap;
    float *d = c + gap;
    const float *w1 = acula_roots + root;
    const float *w2 = w1 + root;
    const float *w3 = w2 + root;
    const float b_re = (b[0] * w1[0]) - (b[1] * w1[1]);
    const float b_im = (b[0] * w1[1]) + (b[1] * w1[0]);
    const float c_re = (c[0] * w2[0]) - (c[1] * w2[1]);
    const float c_im = (c[0] * w2[1]) + (c[1] * w2[0]);
    const float d_re = (d[0] * w3[0]) - (d[1] * w3[1]);
    const float d_im = (d[0] * w3[1]) + (d[1] * w3[0]);
    const float even_re = a[0] + c_re;
    const float even_im = a[1] + c_im;
    const float odd_re = a[0] - c_re;
    const float odd_im = a[1] - c_im;
    const float sum_re = b_re + d_re;
    const float sum_im = b_im + d_im;
    const float turned_re = b_im - d_im; /* -i (b - d) */
    const float turned_im = d_re - b_re;
    a[0] = even_re + sum_re;
    a[1] = even_im + sum_im;
    b[0] = odd_re + turned_re;
    b[1] = odd_im + turned_im;
    c[0] = even_re - sum_re;
    c[1] = even_im - sum_im;
    d[0] = odd_re - turned_re;
    d[1] = odd_im - turned_im;
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
        for (int32_t k = 0; k < quarter; ++k) {
            for (int32_t start = 2 * k; start < 2 * POINTS; start += 8 * quarter) {
                butterfly(z + start, 2 * quarter, k * root);
            }
        }
    }
}

/* Four times the power of bin k goes to z[2 k]. Bins 0 and n_fft / 2 stand in no mel band. */
static void powers(float *z)
{
    for (int32_t k = 1; k <= POINTS / 2; ++k) {
        float *near = z + (2 * k);
        float *far = z + (2 * (POINTS - k));
        const float *root = acula_roots + (2 * k);
        const float even_re = near[0] + far[0];
        const float even_im = near[1] - far[1];
        const float odd_re = near[0] - far[0];
        const float odd_im = near[1] + far[1];
        const float turned_re = (odd_im * root[0]) + (odd_re * root[1]); /* -i root odd */
        const float turned_im = (odd_im * root[1]) - (odd_re * root[0]);
        const float near_re = even_re + turned_re;
        const float near_im = even_im + turned_im;
        const float far_re = even_re - turned_re;
        const float far_im = even_im - turned_im;
        far[0] = (far_re * far_re) + (far_im * far_im);
        near[0] = (near_re * near_re) + (near_im * near_im);
    }
}

/* Natural logarithm of a positive, normal number; S. L. Moshier's logf, Cephes 2.2. */
static float logarithm(float x)
{
    uint32_t bits;
    (void)memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x007fffffu) | 0x3f000000u;
    float m;
    (void)memcpy(&m, &bits, sizeof m); /* 0.5 <= m < 1 */
    if (m < 0.707106781186547524f) {
        exponent -= 1;
        m = (m + m) - 1.0f;
    } else {
        m = m - 1.0f;
    }
    const float e = (float)exponent;
    const float square = m * m;
    float y = 7.0376836292e-2f;
    y = (y * m) - 1.1514610310e-1f;
    y = (y * m) + 1.1676998740e-1f;
    y = (y * m) - 1.2420140846e-1f;
    y = (y * m) + 1.4249322787e-1f;
    y = (y * m) - 1.6668057665e-1f;
    y = (y * m) + 2.0000714765e-1f;
    y = (y * m) - 2.4999993993e-1f;
    y = (y * m) + 3.3333331174e-1f;
    y = (y * m) * square;
    y = y + (e * -2.12194440e-4f);
    y = y - (0.5f * square);
    return (m + y) + (e * 0.693359375f);
}

static int8_t to_steps(float x)
{
    const float least = (x > STEPS_LEAST) ? x : STEPS_LEAST;
    const float steps = (least < STEPS_MOST) ? least : STEPS_MOST;
    return (int8_t)((int32_t)((steps + WHOLE) - WHOLE) + ACULA_FEATURES_ZERO);
}

/* Features of all mel bands from the powers. */
static void bands(const float *z, int8_t *features)
{
    for (int32_t m = 0; m < ACULA_N_MELS; ++m) {
        const acula_band_t *band = &acula_bands[m];
        const float *power = z + (2 * (int32_t)band->first);
        const float *weight = acula_band_weights + band->weights;
        float sum = 0.0f;
        for (int32_t i = 0; i < (int32_t)band->count; ++i) {
            sum = sum + (power[2 * i] * weight[i]);
        }
        const float floored = (sum > acula_floors[m]) ? sum : acula_floors[m];
        features[m * ACULA_MEL_STEP] = to_steps(logarithm(floored) * acula_gains[m]);
    }
}

#endif
