/* request_priv.h - what the files that read a request's JSON share. Nothing outside this room includes it. */
#ifndef STATOR_FRONTEND_REQUEST_PRIV_H
#define STATOR_FRONTEND_REQUEST_PRIV_H

#include "frontend/json_in.h"
#include "frontend/request.h"

/* Rows of the tables of plain members. */
#define FIELD(type, member, json_name, json_kind, low, high)                                                           \
	{                                                                                                              \
		.name = json_name, .kind = json_kind, .offset = offsetof(type, member), .min = low, .max = high        \
	}
#define U32(member, name, low, high) FIELD(struct api_request, member, name, JSON_IN_U32, low, high)
/* A limit: more than high is high. */
#define U32_CUT(member, json_name, low, high)                                                                          \
	{                                                                                                              \
		.name = json_name, .kind = JSON_IN_U32, .offset = offsetof(struct api_request, member), .min = low,    \
		.max = high, .cut = true                                                                               \
	}
#define F32(member, name, low, high) FIELD(struct api_request, sampling.member, name, JSON_IN_F32, low, high)
#define BOOL(member, name) FIELD(struct api_request, member, name, JSON_IN_BOOL, 0, 0)

static inline int out_of_memory(struct api_error *e)
{
	return api_error_set(e, 500, NULL, NULL, "out of memory");
}

static inline struct api_text text_of(const json_t *string)
{
	return (struct api_text){json_string_value(string), json_string_length(string)};
}

/* request_chat.c: the members that only a chat request has. */
int request_read_chat(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e);
/* request_template.c: what is for the chat template besides messages. */
int request_read_template(struct api_request *r, const json_t *root, struct arena *arena, struct api_error *e);
/* Copy value's JSON text into arena. NULL: out of memory. */
const char *request_keep_json(const json_t *value, struct arena *arena);
/* request_unsupported.c: refuse what clients would believe was done if it were ignored. r has what is common to both kinds. */
int request_refuse_unsupported(const struct api_request *r, const json_t *root, struct api_error *e);
/* v is one of these words: *ret is which. */
int request_read_word(const json_t *v, const char *name, const char *const *words, uint32_t count, uint32_t *ret,
	struct api_error *e);

#endif
