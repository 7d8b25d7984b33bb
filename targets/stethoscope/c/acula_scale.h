/* From int32 sums to INT8 steps, as TFLite's MultiplyByQuantizedMultiplier rounds. */
#ifndef ACULA_SCALE_H
#define ACULA_SCALE_H

#include <stdint.h>
#include <string.h>

/* The code shifts negative numbers to the right, as every compiler for these cores does. */
typedef char acula_right_shift_keeps_the_sign[((-3) >> 1) == -2 ? 1 : -1];

#if !defined(ACULA_PORTABLE) && defined(__ARM_FEATURE_MVE) && ((__ARM_FEATURE_MVE & 1) != 0)
#define ACULA_MVE 1
#if (__ARM_FEATURE_MVE & 2) != 0
#define ACULA_MVE_FLOAT 1
#endif
#elif !defined(ACULA_PORTABLE) && defined(__ARM_FEATURE_DSP)
#define ACULA_DSP 1
#endif

/* Where the compiler must not call: a function that it inlines for each value of an argument. */
#if defined(__GNUC__)
#define ACULA_INLINE static inline __attribute__((always_inline))
#else
#define ACULA_INLINE static inline
#endif

/* round(2 a b / 2^32), halves upwards; |a| < 2^30, which the generator has checked. */
static inline int32_t acula_high_product(int32_t a, int32_t b)
{
#if defined(ACULA_DSP)
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(a * 2), "r"(b));
    return high;
#else
    return (int32_t)((((int64_t)a * (int64_t)b) + ((int64_t)1 << 30)) >> 31);
#endif
}

/* x / 2^right, halves away from zero; right > 0. */
static inline int32_t acula_shift_right(int32_t x, int32_t right)
{
    return (x - (int32_t)((uint32_t)x >> 31) + (int32_t)((1UL << right) >> 1)) >> right;
}

/* x * multiplier * 2^(shift - 31) with two roundings. */
static inline int32_t acula_scale(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift >= 0) {
        return acula_high_product(x * (int32_t)(1UL << shift), multiplier);
    }
    return acula_shift_right(acula_high_product(x, multiplier), -shift);
}

/* The same with one rounding, halves upwards: the fully connected kernel. */
static inline int32_t acula_scale_once(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t right = 31 - shift;
    return (int32_t)((((int64_t)x * (int64_t)multiplier) + ((int64_t)1 << (right - 1))) >> right);
}

static inline int8_t acula_clamp(int32_t x, int32_t low, int32_t high)
{
    const int32_t least = (x < low) ? low : x;
    return (int8_t)((least > high) ? high : least);
}

/* Kept to the range of INT8. */
static inline int32_t acula_saturate(int32_t x)
{
#if defined(ACULA_DSP)
    int32_t kept;
    __asm__("ssat %0, #8, %1" : "=r"(kept) : "r"(x));
    return kept;
#else
    return acula_clamp(x, INT8_MIN, INT8_MAX);
#endif
}

static inline uint32_t acula_load4(const int8_t *four)
{
    uint32_t word;
    (void)memcpy(&word, four, sizeof word);
    return word;
}

#endif
