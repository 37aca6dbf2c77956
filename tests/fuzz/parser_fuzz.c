/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libFuzzer target: the request parser. The first byte chooses how the rest is cut; the requests
 * that come out must be the same as when it arrives whole. */
#include "base/check.h"
#include "base/hash.h"
#include "protocol/parser.h"

#include <stdlib.h>

struct outcome {
    uint64_t digest;
    uint64_t requests;
    bool failed;
};

static void note(struct outcome *outcome, const struct request *request)
{
    outcome->requests++;
    for (int i = 0; i < request->argc; i++)
        outcome->digest = hash_checksum(request->argv[i].data, request->argv[i].size,
                                        outcome->digest + (uint64_t)i);
}

/* Parses all of `rest`; keeps what is unconsumed. */
static void drain(struct parser *parser, struct buffer *rest, struct outcome *outcome)
{
    const struct parser_limits limits = {.max_bulk_bytes = 1 << 20, .authenticated = true};
    enum parser_result result = PARSER_COMMAND;
    while (result == PARSER_COMMAND) {
        char *input = malloc(rest->size ? rest->size : 1);
        if (rest->size > 0) memcpy(input, rest->data, rest->size);
        struct request request;
        size_t consumed = 0;
        const char *error = NULL;
        request_init(&request);
        result = parser_next(parser, &limits, input, rest->size, &consumed, &request, &error);
        ASSERT(consumed <= rest->size);
        ASSERT(result != PARSER_ERROR || error);
        if (result == PARSER_COMMAND) note(outcome, &request);
        request_release(&request);
        if (consumed > 0) memmove(rest->data, rest->data + consumed, rest->size - consumed);
        rest->size -= consumed;
        free(input);
    }
    outcome->failed = result == PARSER_ERROR;
}

static struct outcome run(const uint8_t *data, size_t size, size_t step)
{
    struct outcome outcome = {0};
    struct parser *parser = parser_create();
    struct buffer rest = {0};
    while (size > 0 && !outcome.failed) {
        char *room;
        size_t here = size < step ? size : step;
        size_t big = parser_big_room(parser, &room);
        if (big > 0) {
            if (here > big) here = big;
            memcpy(room, data, here);
            parser_big_filled(parser, here);
        } else {
            buffer_append(&rest, data, here);
        }
        drain(parser, &rest, &outcome);
        data += here;
        size -= here;
    }
    parser_destroy(parser);
    buffer_free(&rest);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    size_t step = data[0] ? data[0] : 1;
    struct outcome whole = run(data + 1, size - 1, size);
    struct outcome cut = run(data + 1, size - 1, step);
    ASSERT(whole.failed == cut.failed && whole.requests == cut.requests);
    ASSERT(whole.digest == cut.digest);
    return 0;
}
