/* diagnose_form.h - the forms in which logs arrive: text, UTF-16 (what PowerShell's > writes), lines wrapped at the width of a
 * terminal, archives, and what is no text at all.
 *
 * Begin a reader with the first bytes of a log (at most FORM_HEAD_BYTES, fewer only when there are no more), which decide; feed
 * it everything, those bytes included; end it. A wrapped line reaches the log as one, followed by as many empty lines as it
 * had breaks: line numbers stay those of the file.
 *
 * Thread: one owner. Memory: one buffer of FORM_OUT_BYTES. */
#ifndef STATOR_PLAN_DIAGNOSE_FORM_H
#define STATOR_PLAN_DIAGNOSE_FORM_H

#include "plan/diagnose.h"

enum { FORM_HEAD_BYTES = 256 * 1024, FORM_OUT_BYTES = 64 * 1024, FORM_WORD_BYTES_MAX = 128 };

enum log_form {
	FORM_TEXT,
	FORM_EMPTY,
	FORM_UTF16_LE,
	FORM_UTF16_BE,
	FORM_GZIP,
	FORM_XZ,
	FORM_ZSTD,
	FORM_BZIP2,
	FORM_ZIP,
	FORM_LZ4,
	FORM_COMPRESS,
	FORM_7Z,
	FORM_BINARY,
};

enum log_form log_form_of(const char *head, size_t len);
/* Can a log of this form be read? */
bool log_form_is_readable(enum log_form form);
/* "gzip"; and what unpacks it to the standard output, "gzip -dc"; NULL: nothing does. */
const char *log_form_name(enum log_form form);
const char *log_form_unpacker(enum log_form form);

struct log_wrap {
	uint32_t width; /* columns; 0: lines are not wrapped */
	bool at_words; /* broken at blanks, which are lost; else anywhere */
};
/* Are the lines of this text wrapped? Pure. */
struct log_wrap log_wrap_of(const char *head, size_t len);

struct log_reader;
/* log may be NULL when the form cannot be read. Borrows it. What the text says is read by diagnose_tool.h. */
int log_reader_create(
	struct log_reader **ret, struct diagnosed_log *log, const char *head, size_t len, struct err *err);
void log_reader_destroy(struct log_reader *r);
DEFINE_CLEANUP(log_reader_destroy, struct log_reader)
enum log_form log_reader_form(const struct log_reader *r);
void log_reader_feed(struct log_reader *r, const char *data, size_t len);
void log_reader_end(struct log_reader *r);
/* Was it only about how things are wished (a manifest), so that nothing is to be learnt of how they went? */
bool log_reader_only_wishes(const struct log_reader *r);

#endif
