/* diagnose_input.c - see diagnose_input.h. A level is one form within another; its head decides what it is. */
#include "plan/diagnose_input.h"
#include "base/utf8.h"
#include "plan/tar.h"
#include "plan/unpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 1024, ARENA_BYTES_MAX = 4 * 1024 * 1024 };

enum level_kind { LEVEL_UNDECIDED, LEVEL_TEXT, LEVEL_PACKED, LEVEL_ARCHIVE, LEVEL_DROPPED };

struct input_level {
	struct diagnose_input *in;
	enum level_kind kind;
	uint32_t depth;
	bool member; /* of an archive: nobody named it */
	char *name, *head;
	size_t head_len;
	enum log_form form;
	struct diagnosed_log *log;
	struct log_reader *reader;
	struct unpack *unpack;
	struct tar tar;
	struct input_level *child; /* what comes out of it */
};

static int level_create(struct input_level **ret, struct diagnose_input *in, const char *name, uint32_t depth);
static bool level_feed(struct input_level *l, const char *data, size_t len);
static void level_end(struct input_level *l);

void diagnose_input_init(struct diagnose_input *in, struct diagnosis *diagnosis)
{
	*in = (struct diagnose_input){.diagnosis = diagnosis};
	arena_init(&in->arena, ARENA_BYTES_MAX);
}

static void note(struct diagnose_input *in, enum input_note_kind kind, const char *name, enum log_form form)
{
	char *copy = in->notes_len < INPUT_NOTES_MAX ? arena_strdup(&in->arena, name) : NULL;

	if (copy)
		in->notes[in->notes_len++] = (struct input_note){kind, copy, form};
	else
		in->notes_more++;
}

/* ---- levels ---- */

static void level_destroy(struct input_level *l)
{
	if (!l)
		return;
	level_destroy(l->child);
	log_reader_destroy(l->reader);
	unpack_destroy(l->unpack);
	free(l->head);
	free(l->name);
	free(l);
}

/* A name is shown: what a terminal would obey is not in it. */
static void name_clean(char *name)
{
	for (char *c = name; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	utf8_plain(name);
}

static int level_create(struct input_level **ret, struct diagnose_input *in, const char *name, uint32_t depth)
{
	struct input_level *l = calloc(1, sizeof *l);

	if (!l || !(l->name = strdup(name)) || !(l->head = malloc(FORM_HEAD_BYTES))) {
		level_destroy(l);
		return -ENOMEM;
	}
	name_clean(l->name);
	l->in = in;
	l->depth = depth;
	*ret = l;
	return 0;
}

/* What is read is counted, packed and unpacked. False: it was enough. */
static bool bytes_take(struct diagnose_input *in, size_t *len)
{
	*len = (size_t)MIN((uint64_t)*len, in->left);
	in->left -= *len;
	return in->left > 0;
}

static bool on_unpacked(void *ctx, const char *data, size_t len)
{
	struct input_level *l = ctx;
	bool more = bytes_take(l->in, &len);

	return level_feed(l->child, data, len) && more;
}

/* Of a packed file the name stays: what it holds is the log. */
static bool packed_begin(struct input_level *l)
{
	static const enum unpack_format formats[] = {[FORM_GZIP] = UNPACK_GZIP,
		[FORM_XZ] = UNPACK_XZ,
		[FORM_ZSTD] = UNPACK_ZSTD,
		[FORM_BZIP2] = UNPACK_BZIP2};

	if (l->depth == INPUT_DEPTH_MAX) {
		note(l->in, INPUT_TOO_DEEP, l->name, l->form);
		return false;
	}
	if (level_create(&l->child, l->in, l->name, l->depth + 1) < 0 ||
		unpack_create(&l->unpack, formats[l->form], on_unpacked, l, NULL) < 0) {
		note(l->in, INPUT_UNREADABLE, l->name, l->form);
		return false;
	}
	l->child->member = l->member;
	l->kind = LEVEL_PACKED;
	return true;
}

static bool on_member_begin(void *ctx, const char *name, uint64_t size)
{
	struct input_level *l = ctx;
	char text[NAME_BYTES_MAX];

	snprintf(text, sizeof text, "%s/%s", l->name, name);
	level_destroy(l->child);
	l->child = NULL;
	if (size == 0 || level_create(&l->child, l->in, text, l->depth + 1) < 0)
		return false;
	l->child->member = true;
	return true;
}

static void on_member_data(void *ctx, const char *data, size_t len)
{
	struct input_level *l = ctx;

	level_feed(l->child, data, len);
}

static void on_member_end(void *ctx, bool whole)
{
	struct input_level *l = ctx;
	(void)whole; /* the archive's end says it once */

	level_end(l->child);
	level_destroy(l->child);
	l->child = NULL;
}

static const struct tar_ops tar_ops = {on_member_begin, on_member_data, on_member_end};

static void text_begin(struct input_level *l)
{
	struct diagnose_input *in = l->in;

	l->log = diagnosis_log(in->diagnosis, l->name);
	if (!l->log || log_reader_create(&l->reader, l->log, l->head, l->head_len, NULL) < 0) {
		in->too_many = true;
		return;
	}
	in->files++;
	l->kind = LEVEL_TEXT;
}

static void level_decide(struct input_level *l)
{
	bool packed;

	l->kind = LEVEL_DROPPED;
	if (tar_is(l->head, l->head_len) && l->depth < INPUT_DEPTH_MAX) {
		tar_init(&l->tar, &tar_ops, l);
		l->kind = LEVEL_ARCHIVE;
		return;
	}
	l->form = log_form_of(l->head, l->head_len);
	packed = l->form == FORM_GZIP || l->form == FORM_XZ || l->form == FORM_ZSTD || l->form == FORM_BZIP2;
	if (packed) {
		packed_begin(l);
	} else if (log_form_is_readable(l->form)) {
		text_begin(l);
	} else if (l->in->quiet || l->member) {
		l->in->other++;
	} else {
		note(l->in, INPUT_UNREADABLE, l->name, l->form);
		l->in->files++;
	}
}

static bool decided_feed(struct input_level *l, const char *data, size_t len)
{
	switch (l->kind) {
	case LEVEL_TEXT:
		log_reader_feed(l->reader, data, len);
		return true;
	case LEVEL_PACKED:
		return unpack_feed(l->unpack, data, len);
	case LEVEL_ARCHIVE:
		tar_feed(&l->tar, data, len);
		return !l->tar.ended && !l->tar.damaged;
	case LEVEL_UNDECIDED:
	case LEVEL_DROPPED:
		break;
	}
	return false;
}

static bool head_feed(struct input_level *l)
{
	level_decide(l);
	bool more = decided_feed(l, l->head, l->head_len);

	free(l->head);
	l->head = NULL;
	return more;
}

static bool level_feed(struct input_level *l, const char *data, size_t len)
{
	if (l->kind == LEVEL_UNDECIDED) {
		size_t n = MIN(len, FORM_HEAD_BYTES - l->head_len);

		memcpy(l->head + l->head_len, data, n);
		l->head_len += n;
		data += n;
		len -= n;
		if (l->head_len < FORM_HEAD_BYTES)
			return true;
		if (!head_feed(l))
			return false;
	}
	return len == 0 || decided_feed(l, data, len);
}

static void packed_end(struct input_level *l)
{
	enum unpack_state state = unpack_end(l->unpack);

	level_end(l->child);
	if (l->in->left == 0)
		return;
	if (state == UNPACK_CUT)
		note(l->in, INPUT_CUT, l->name, l->form);
	else if (state == UNPACK_DAMAGED)
		note(l->in, INPUT_DAMAGED, l->name, l->form);
}

static void text_end(struct input_level *l)
{
	struct diagnose_input *in = l->in;
	uint64_t lines;

	log_reader_end(l->reader);
	lines = diagnosed_log_lines(l->log);
	in->lines += lines;
	in->empty += lines == 0;
	if (log_reader_only_wishes(l->reader) && !(in->quiet || l->member))
		note(in, INPUT_ONLY_WISHES, l->name, l->form);
}

static void level_end(struct input_level *l)
{
	if (l->kind == LEVEL_UNDECIDED)
		head_feed(l);
	switch (l->kind) {
	case LEVEL_TEXT:
		text_end(l);
		break;
	case LEVEL_PACKED:
		packed_end(l);
		break;
	case LEVEL_ARCHIVE:
		if (!tar_end(&l->tar))
			note(l->in, l->tar.damaged ? INPUT_DAMAGED : INPUT_CUT, l->name, FORM_BINARY);
		break;
	case LEVEL_UNDECIDED:
	case LEVEL_DROPPED:
		break;
	}
}

/* ---- files ---- */

void diagnose_input_done(struct diagnose_input *in)
{
	level_destroy(in->top);
	in->top = NULL;
	arena_done(&in->arena);
}

int diagnose_input_begin(struct diagnose_input *in, const char *name, struct err *err)
{
	level_destroy(in->top);
	in->top = NULL;
	in->left = INPUT_BYTES_MAX;
	return level_create(&in->top, in, name, 1) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

bool diagnose_input_feed(struct diagnose_input *in, const char *data, size_t len)
{
	bool more = bytes_take(in, &len);

	return level_feed(in->top, data, len) && more;
}

void diagnose_input_end(struct diagnose_input *in)
{
	if (in->left == 0)
		note(in, INPUT_TOO_LONG, in->top->name, FORM_TEXT);
	level_end(in->top);
	level_destroy(in->top);
	in->top = NULL;
}
