#include "acula_results.h"

#include "acula.h"

#define ONE 32768u
#define FRACTION_BITS 20u /* of a count of halvings: eight choose a power */
#define REST_BITS 12u     /* the others stand between two powers */
#define LEAST_WHOLE 16u   /* halvings that leave less than half of a 32768th */

/* 32768 exp(-steps * scale / temperature) of a logit. */
static uint32_t exponential(uint32_t steps, int32_t logit)
{
    const uint32_t halvings = steps * acula_halvings[logit];
    const uint32_t whole = halvings >> FRACTION_BITS;
    if (whole >= LEAST_WHOLE) {
        return 0;
    }
    const uint32_t *power = &acula_powers[(halvings >> REST_BITS) & 0xffu];
    const uint32_t rest = halvings & ((1u << REST_BITS) - 1u);
    const uint32_t between = (power[0] << REST_BITS) - ((power[0] - power[1]) * rest);
    const uint32_t shift = REST_BITS + whole;
    return (between + (1u << (shift - 1u))) >> shift;
}

static uint16_t ratio(uint32_t part, uint32_t total)
{
    return (uint16_t)(((part * ONE) + (total / 2u)) / total);
}

static uint16_t sigmoid(int8_t steps, int32_t logit)
{
    const int32_t above = (int32_t)steps - ACULA_LOGITS_ZERO;
    const uint32_t other = exponential((uint32_t)((above < 0) ? -above : above), logit);
    return ratio((above < 0) ? other : ONE, ONE + other);
}

/* Softmax over the logits of one task (Bridle, 1990). */
static void softmax(const int8_t *logits, int32_t first, uint16_t count, uint16_t *probabilities)
{
    int32_t most = logits[0];
    for (uint16_t i = 1; i < count; ++i) {
        most = (logits[i] > most) ? logits[i] : most;
    }
    uint32_t total = 0;
    for (uint16_t i = 0; i < count; ++i) {
        total += exponential((uint32_t)(most - logits[i]), first);
    }
    for (uint16_t i = 0; i < count; ++i) {
        probabilities[i] = ratio(exponential((uint32_t)(most - logits[i]), first), total);
    }
}

void acula_probabilities(const int8_t *logits, uint16_t *probabilities)
{
    for (int32_t i = 0; i < ACULA_N_LOGITS; ++i) {
        const acula_label_t *label = &acula_labels[i];
        if (label->count == 1u) {
            probabilities[i] = sigmoid(logits[i], i);
        } else if ((int32_t)label->first == i) {
            softmax(logits + i, i, label->count, probabilities + i);
        } else {
            /* written with the first logit of its task */
        }
    }
}
