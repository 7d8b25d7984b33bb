/* Golden clips through the library, PCM to result, bit by bit. Runs on a host and on an emulated board.
 *
 *     acula_test             read golden.bin here; print what was found; exit code 0 if all is as it must be
 *
 * A head.bin that lies here too is loaded first; golden.bin then holds the answers with that head.
 * golden.bin: u32 clips; then for each one int16 pcm[clip], int8 embedding[E], int8 logits[K].
 */
#include <stdio.h>
#include <string.h>

#include "acula.h"
#include "acula_network.h"
#include "board.h"

#define MOST_HEAD_BYTES (256 * 1024)
#define OVERRUN 4096 /* samples behind a clip that must not be taken */
#define WAYS 5

static const size_t chunks[WAYS] = {1, 7, 160, 4096, ACULA_CLIP_SAMPLES};

static acula_state_t state;
static int16_t pcm[ACULA_CLIP_SAMPLES + OVERRUN];
static union {
    uint32_t aligned;
    uint8_t bytes[MOST_HEAD_BYTES];
} head;
static int failures;

static void report(const char *name, long value)
{
    (void)printf("%s %ld\n", name, value);
}

static void require(const char *name, bool holds)
{
    if (!holds) {
        (void)printf("failed %s\n", name);
        ++failures;
    }
}

/* More samples at once than a hop takes: the rest stays with the caller, and the hop's answer is the same as
 * that of `expected`, which was pushed in another way. */
static void check_overrun(const acula_result_t *expected)
{
    acula_result_t found;
    size_t at = 0;
    for (int32_t hop = 0; hop < ACULA_HOPS; ++hop) {
        const size_t offered = ACULA_CLIP_SAMPLES + OVERRUN - at;
        const size_t taken = acula_push_pcm(&state, pcm + at, offered);
        at += taken;
        require("an overrun is not taken", (taken < offered) && (at <= ACULA_CLIP_SAMPLES));
        require("a full hop takes nothing", acula_push_pcm(&state, pcm + at, OVERRUN) == 0u);
        require("an overrun ends in a result", acula_poll(&state, &found) == ACULA_OK);
    }
    at += acula_push_pcm(&state, pcm + at, ACULA_CLIP_SAMPLES - at);
    require("an overrun changes nothing",
            (at == ACULA_CLIP_SAMPLES) && found.whole && (memcmp(found.logits, expected->logits, sizeof found.logits) == 0) &&
                (memcmp(found.embedding, expected->embedding, sizeof found.embedding) == 0));
}

/* A whole clip in chunks, with empty pushes between them; every hop once, and no sample while one waits. */
static void hear_clip(size_t chunk, acula_result_t *found)
{
    size_t at = 0;
    int32_t hops = 0;
    bool hearing = true;
    while (hearing) {
        const size_t left = ACULA_CLIP_SAMPLES - at;
        const size_t size = (chunk < left) ? chunk : left;
        const size_t taken = acula_push_pcm(&state, pcm + at, size);
        at += taken;
        require("an empty push takes nothing", acula_push_pcm(&state, pcm, 0) == 0u);
        if (taken < size) {
            require("no sample is taken while a hop waits", acula_push_pcm(&state, pcm + at, 1) == 0u);
        }
        if (acula_poll(&state, found) == ACULA_OK) {
            ++hops;
            require("hops are counted", found->hops == hops);
            require("a hop is heard once", acula_poll(&state, found) == ACULA_WAIT);
        } else {
            require("a push stops at a hop only", taken == size);
            hearing = at < ACULA_CLIP_SAMPLES;
        }
    }
    require("every hop is heard", (hops == ACULA_HOPS) && found->whole);
}

static bool read_exactly(FILE *file, void *into, size_t size)
{
    return fread(into, 1, size, file) == size;
}

static long different(const int8_t *found, const int8_t *expected, size_t count)
{
    long n = 0;
    for (size_t i = 0; i < count; ++i) {
        n += (found[i] != expected[i]) ? 1 : 0;
    }
    return n;
}

static void check_clips(FILE *golden)
{
    uint32_t clips = 0;
    long mismatches = 0;
    long values = 0;
    require("golden.bin begins with a count", read_exactly(golden, &clips, sizeof clips));
    for (uint32_t clip = 0; clip < clips; ++clip) {
        acula_result_t expected;
        acula_result_t found;
        if (!read_exactly(golden, pcm, ACULA_CLIP_SAMPLES * sizeof pcm[0]) ||
            !read_exactly(golden, expected.embedding, sizeof expected.embedding) ||
            !read_exactly(golden, expected.logits, sizeof expected.logits)) {
            require("golden.bin is whole", false);
            return;
        }
        require("nothing is ready before", acula_poll(&state, &found) == ACULA_WAIT);
        hear_clip(chunks[clip % WAYS], &found);
        mismatches += different(found.embedding, expected.embedding, sizeof expected.embedding);
        mismatches += different(found.logits, expected.logits, sizeof expected.logits);
        values += ACULA_EMBEDDING_DIM + ACULA_N_LOGITS;
        if (clip == 0) {
            check_overrun(&found);
        }
    }
    report("clips", (long)clips);
    report("values", values);
    report("mismatches", mismatches);
    require("every value is the expected one", mismatches == 0);
}

/* Ticks of one hop's parts; the clock runs on an emulator that counts instructions. */
static void measure(void)
{
    acula_restart(&state);
    uint32_t start = board_ticks();
    (void)acula_push_pcm(&state, pcm, ACULA_CLIP_SAMPLES);
    report("ticks_front_end", (long)board_ticks_since(start));
    state.memory.hops += 1;
    for (int32_t step = 0; step < ACULA_STEPS; ++step) {
        start = board_ticks();
        acula_network_step(step, state.head, &state.memory);
        const uint32_t spent = board_ticks_since(start);
        (void)printf("ticks_step %ld %ld\n", (long)step, (long)spent);
    }
    acula_restart(&state);
}

static void measure_stack(void)
{
    acula_result_t result;
    board_paint_stack();
    (void)acula_push_pcm(&state, pcm, ACULA_CLIP_SAMPLES);
    require("a result is ready", acula_poll(&state, &result) == ACULA_OK);
    report("stack_bytes", (long)board_stack_bytes());
}

static void load_head(void)
{
    FILE *file = fopen("head.bin", "rb");
    if (file != NULL) {
        const size_t size = fread(head.bytes, 1, sizeof head.bytes, file);
        (void)fclose(file);
        report("load_head", (long)acula_load_head(&state, head.bytes, size));
    }
}

int main(void)
{
    FILE *golden = fopen("golden.bin", "rb");
    const acula_status_t status = acula_selftest(&state);
    report("selftest", (long)status);
    require("the self-test passes", status == ACULA_OK);
    report("state_bytes", (long)sizeof state);
    report("hops", (long)ACULA_HOPS);
    acula_init(&state);
    load_head();
    require("golden.bin is here", golden != NULL);
    if (golden != NULL) {
        check_clips(golden);
        (void)fclose(golden);
        measure();
        measure_stack();
    }
    return (failures == 0) ? 0 : 1;
}
