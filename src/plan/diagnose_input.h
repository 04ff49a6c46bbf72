/* diagnose_input.h - a file as people hand it over, to the logs of a diagnosis: a log, or what holds logs (packed, a tar archive,
 * and both within each other).
 *
 *   diagnose_input_init -> (diagnose_input_begin -> diagnose_input_feed ... -> diagnose_input_end) ... -> diagnose_input_done
 *
 * What could not be read, or not to its end, is noted by name: then nothing can be said to be well.
 *
 * Thread: one owner. Memory: of each form within another its window (unpack.h) and FORM_HEAD_BYTES; the notes. */
#ifndef STATOR_PLAN_DIAGNOSE_INPUT_H
#define STATOR_PLAN_DIAGNOSE_INPUT_H

#include "base/arena.h"
#include "plan/diagnose_form.h"

enum {
	INPUT_DEPTH_MAX = 5, /* a .log.gz in a .tar.gz is 3 */
	INPUT_NOTES_MAX = 64,
};
/* Of one file, unpacked. A packed file of some MiB can be made to hold any number of zeros. */
#define INPUT_BYTES_MAX (8ull * 1024 * 1024 * 1024)

enum input_note_kind {
	INPUT_UNREADABLE, /* no text, and nothing that is unpacked here */
	INPUT_CUT, /* a packed file or archive ends before its end */
	INPUT_DAMAGED, /* what is packed is not what it was */
	INPUT_TOO_LONG, /* INPUT_BYTES_MAX */
	INPUT_TOO_DEEP, /* INPUT_DEPTH_MAX */
	INPUT_ONLY_WISHES, /* a manifest: it says how things are wished */
};
struct input_note {
	enum input_note_kind kind;
	const char *name;
	enum log_form form;
};

struct input_level;
struct diagnose_input {
	struct arena arena;
	struct diagnosis *diagnosis;
	struct input_level *top;
	uint32_t files, empty; /* logs that were read; those that held nothing */
	uint64_t lines, left; /* left: bytes of the file that may still be read */
	struct input_note notes[INPUT_NOTES_MAX];
	uint32_t notes_len, notes_more; /* more: that had no room */
	bool too_many; /* more than LOGS_MAX logs */
	bool quiet; /* files without text are only counted: they lay beside logs, and nobody named them */
	uint32_t other; /* such files */
};

/* Borrows diagnosis. */
void diagnose_input_init(struct diagnose_input *in, struct diagnosis *diagnosis);
void diagnose_input_done(struct diagnose_input *in);
/* A file begins. Copies name. -ENOMEM. */
int diagnose_input_begin(struct diagnose_input *in, const char *name, struct err *err);
/* More of it. False: nothing more of it is wanted. */
bool diagnose_input_feed(struct diagnose_input *in, const char *data, size_t len);
void diagnose_input_end(struct diagnose_input *in);

#endif
