/* What the inner loops for cores with the DSP extension (Cortex-M4, M7, M33) share. */
#ifndef ACULA_DSP_HALVES_H
#define ACULA_DSP_HALVES_H

#include "acula_scale.h"

/* Whether every channel's factor is shifted to the right. */
static inline bool acula_all_right(const int32_t *shifts, int32_t channels)
{
    bool right = true;
    for (int32_t i = 0; i < channels; ++i) {
        right = right && (shifts[i] < 0);
    }
    return right;
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

#endif
