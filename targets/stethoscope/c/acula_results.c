#include "acula_results.h"

#include "acula.h"

#define ONE 32768u

/* Softmax over the logits of one task (Bridle, 1990). */
static void softmax(const int8_t *logits, uint16_t count, uint16_t *probabilities)
{
    int32_t most = logits[0];
    for (uint16_t i = 1; i < count; ++i) {
        most = (logits[i] > most) ? logits[i] : most;
    }
    uint32_t total = 0;
    for (uint16_t i = 0; i < count; ++i) {
        total += acula_exponentials[most - logits[i]];
    }
    for (uint16_t i = 0; i < count; ++i) {
        const uint32_t part = acula_exponentials[most - logits[i]];
        probabilities[i] = (uint16_t)(((part * ONE) + (total / 2u)) / total);
    }
}

void acula_probabilities(const int8_t *logits, uint16_t *probabilities)
{
    for (int32_t i = 0; i < ACULA_N_LOGITS; ++i) {
        const acula_label_t *label = &acula_labels[i];
        if (label->count == 1u) {
            probabilities[i] = acula_sigmoids[(int32_t)logits[i] - INT8_MIN];
        } else if ((int32_t)label->first == i) {
            softmax(logits + i, label->count, probabilities + i);
        } else {
            /* written with the first logit of its task */
        }
    }
}
