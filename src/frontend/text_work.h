/* text_work.h - what requests ask of the text threads: parsing, rendering, tokenizing. Each piece is a task with an estimate
 * of its time, an owner and a limit, so that the pool can be fair (base/fair_queue.h), a queue that is too long refuses
 * politely, and whatever nobody waits for any more ends.
 *
 *     text_task_start -> work (on a text thread) -> done        text_task_cancel: done follows, without work when it had
 *                     '-> late, once, when its time is over     not begun. late does not end the task: cancel it
 *
 * Estimates are learned: for each model and kind of work the time a byte, by how many bytes and messages there are, since
 * templates exist whose time grows with the square of the messages. What is unknown and large is never taken for small.
 *
 * Thread: the loop's, but for work. Memory: fixed; a task lives in its owner. */
#ifndef STATOR_FRONTEND_TEXT_WORK_H
#define STATOR_FRONTEND_TEXT_WORK_H

#include "base/env.h"
#include "base/fair_queue.h"
#include "frontend/error.h"

struct frontend;
struct metric;

enum text_kind {
	TEXT_PARSE, /* a body to a JSON tree */
	TEXT_CHAT, /* messages through a template to tokens */
	TEXT_PROMPT, /* text to tokens */
	TEXT_IDS, /* token ids, as they are or to text */
	TEXT_KINDS,
};

enum { TEXT_BYTE_CLASSES = 8, TEXT_ITEM_CLASSES = 8 };

/* Microseconds a byte; 0: not known yet. Zero it before first use. */
struct text_rates {
	float us[TEXT_KINDS][TEXT_BYTE_CLASSES][TEXT_ITEM_CLASSES];
};

/* How much there is to do. */
struct text_size {
	enum text_kind kind;
	size_t bytes;
	uint32_t items; /* messages or prompts */
};
uint64_t text_rates_predict_us(const struct text_rates *r, const struct text_size *s);
/* May it take long? A few words never; else not where it is both short and, by its estimate, quick. */
bool text_is_long(const struct text_size *s, uint64_t cost_us);
/* A task took so long; a part of one at least so long. */
void text_rates_learn(struct text_rates *r, const struct text_size *s, uint64_t took_us, bool whole);

struct text_task {
	struct env_job job;
	/* Set by the owner before start. */
	struct text_size size;
	struct text_rates *rates;
	struct metric *metric; /* of the time on a thread; may be NULL */
	uint64_t owner; /* whose it is, for fairness */
	uint64_t deadline_us; /* 504 then; 0: none */
	uint64_t arrived_us; /* the wait counts from here */
	void (*work)(struct text_task *t);
	void (*done)(struct text_task *t);
	void (*late)(struct text_task *t, const struct api_error *e);
	/* Private. */
	struct list link; /* in text_work.tasks */
	struct frontend *fe;
	struct env_timer limit;
};

/* All of a frontend. */
struct text_work {
	struct list tasks; /* oldest first */
	uint32_t threads;
	uint64_t small_us, long_us; /* of tasks that have not ended, by their estimates */
	uint64_t owner_us[FAIR_OWNERS]; /* of long_us */
	uint32_t owners; /* with something in long_us */
	struct text_rates parse; /* no model's */
};
/* Why a task was given up. */
enum text_end { TEXT_END_CLIENT, TEXT_END_DEADLINE, TEXT_END_WAIT };

void text_work_init(struct text_work *w, uint32_t threads);
/* 0: done follows. Negative, e filled: 429 when what is ahead of it would take longer than the limit, 503 when the server
 * stops; the task is not started. */
int text_task_start(struct text_task *t, struct frontend *fe, struct api_error *e);
void text_task_cancel(struct text_task *t, enum text_end why);

/* For metrics. */
struct text_counts {
	uint32_t waiting, running;
	uint64_t oldest_us; /* age of the oldest that waits */
	uint64_t ahead_us; /* what a long task of somebody new would wait, by the estimates */
};
void text_work_count(const struct frontend *fe, struct text_counts *ret);

#endif
