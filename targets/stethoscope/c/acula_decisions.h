/* Rules of the binary tasks, in parts of a logit's INT8 step. */
#ifndef ACULA_DECISIONS_H
#define ACULA_DECISIONS_H

#include "acula.h"

#define ACULA_RULE_PARTS 256

typedef struct {
    bool known;
    int32_t abstain_from;
    int32_t abstain_to; /* included */
    int32_t positive_from;
} acula_rule_t;

extern const acula_rule_t acula_rules[ACULA_N_LOGITS];

#endif
