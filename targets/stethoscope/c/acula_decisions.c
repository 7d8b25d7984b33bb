#include "acula_decisions.h"

acula_decision_t acula_decide(int32_t logit, int32_t sum, int32_t clips)
{
    if ((logit < 0) || (logit >= ACULA_N_LOGITS) || (clips < 1) || !acula_rules[logit].known) {
        return ACULA_NO_RULE;
    }
    const acula_rule_t *rule = &acula_rules[logit];
    const int64_t mean = (int64_t)sum * ACULA_RULE_PARTS; /* times clips */
    if ((mean >= (int64_t)rule->abstain_from * clips) && (mean <= (int64_t)rule->abstain_to * clips)) {
        return ACULA_ABSTAIN;
    }
    return (mean >= (int64_t)rule->positive_from * clips) ? ACULA_POSITIVE : ACULA_NEGATIVE;
}
