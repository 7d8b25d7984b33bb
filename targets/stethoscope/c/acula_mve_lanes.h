/* What the inner loops for Helium (Cortex-M55) share. */
#ifndef ACULA_MVE_LANES_H
#define ACULA_MVE_LANES_H

#include <arm_mve.h>

#include "acula_scale.h"

#define LANES 4
#define EIGHT 8
#define SIXTEEN 16

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

#endif
