/* limits.h - every maximum of the program: a name, a unit, a reason. What happens at the limit stands beside it. */
#ifndef STATOR_BASE_LIMITS_H
#define STATOR_BASE_LIMITS_H

#include <assert.h>

enum {
	/* HTTP, client side. Past these: 431, 413, 400 with the position, 503, close. */
	HTTP_HEADER_BYTES_MAX = 64 * 1024, /* request line and headers; browsers stay under 16 KiB */
	HTTP_BODY_BYTES_MAX =
		32 * 1024 * 1024, /* a 128k-token chat history is 1 MiB; the rest is room for later images */
	HTTP_HEADER_COUNT_MAX = 128,
	HTTP_BODIES_BYTES_MAX = 1024 * 1024 * 1024, /* of all requests being read or parsed; the default is an eighth of
						     * memory where that is less. Past it they wait, then 503 */
	HTTP_BODY_WAIT_MS = 5 * 1000, /* for room in it; what is parsed already is through in less */
	HTTP_UNPACED_BYTES = 64 * 1024, /* of each body; what is beyond shares HTTP_LARGE_RATE */
	HTTP_LARGE_RATE = 128 * 1024 * 1024, /* bytes a second: a gigabit of prompts */
	HTTP_PACE_BURST_BYTES = 16 * 1024 * 1024, /* that may come faster */
	HTTP_PACED_MAX =
		256, /* bodies that wait for it; past this: 503. Each is some 100 KiB to 4 MiB of the system's memory */
	HTTP_SMALL_BYTES = 64 * 1024, /* requests up to this may use an eighth of it that larger ones may not */
	HTTP_CONNS_MAX = 20000, /* default; lowered to the fd limit less FDS_RESERVED. Past it: 503 and close */
	HTTP_HEADER_TIMEOUT_MS =
		10 * 1000, /* from the first byte of a request to the end of its headers (slow loris) */
	HTTP_BODY_TIMEOUT_MS = 60 * 1000, /* from the end of the headers to the end of the body */
	HTTP_IDLE_TIMEOUT_MS =
		75 * 1000, /* keep-alive without a request; the usual proxies use 60 s and must close first */
	HTTP_STALL_TIMEOUT_MS = 60 * 1000, /* a reader that takes nothing for so long is closed */
	HTTP_STALL_RATE_MIN = 64, /* bytes a second: one that takes less over that time takes nothing; modems did 700 */
	HTTP_UNREAD_BYTES_MAX =
		1024 * 1024, /* waiting for the reader of one stream: 6,000 tokens with 20 log-probabilities
					      * each, 260,000 without. Then it ends with an error event */
	HTTP_UNREAD_TOTAL_MAX =
		1024 * 1024 * 1024, /* of all answers; the default is an eighth of memory where that is less.
						     * Past it who holds most ends first */
	FDS_RESERVED = 64, /* kept free of HTTP connections: workers, logs, event loop, and the fd to refuse with */
	JSON_DEPTH_MAX = 64, /* nesting in a request body, and in any text in it that is parsed again */
	/* What a body may hold. jansson needs some 60 bytes for a number and 160 for an empty list, so that bytes alone
	 * bound its tree badly: 32 MiB of "[],[]," would be 1.6 GB. Past these: 400 with the place. */
	JSON_NUMBERS_MAX = 2 * 1024 * 1024 + 64 * 1024, /* that are items of lists: TOKENS_MAX token ids, and room */
	JSON_VALUES_MAX =
		256 * 1024, /* strings, numbers that are members, true, false, null: MESSAGES_MAX of 12, and room */
	JSON_MEMBERS_MAX = 64 * 1024, /* of one object: 64 times those of logit_bias, the largest there is */
	JSON_CONTAINERS_MAX = 128 * 1024, /* lists and objects */

	/* Frames between frontend and worker. Past these the connection is closed with a logged reason. */
	FRAME_BYTES_MAX = 16 * 1024 * 1024, /* the largest prompt: 2 M tokens of 4 bytes, and room */
	FRAME_QUEUE_BYTES_MAX = 256 * 1024 * 1024, /* waiting for a slow peer on one connection */

	/* A request. */
	TOKENS_MAX = 2 * 1024 * 1024, /* prompt + answer; past it: 400 */
	CHOICES_MAX = 16, /* n */
	PROMPTS_MAX = 128, /* choices of one request in all: prompts times n */
	STOPS_MAX = 16, /* stop strings; OpenAI allows 4 */
	CACHE_SALT_BYTES_MAX = 256, /* cache_salt of a request */
	STOP_TOKENS_MAX = 64, /* stop_token_ids; looked through a token */
	STOP_BYTES_MAX = 256, /* one stop string: what must be held back of a stream */
	TOP_LOGPROBS_MAX = 20, /* OpenAI's */
	LOGIT_BIAS_MAX = 1024,
	REQUEST_ARENA_BYTES_MAX = 256 * 1024 * 1024, /* parsed JSON, prompt and tokens of one request */
	REQUEST_ID_BYTES_MAX = 128,
	MESSAGES_MAX = 16384, /* in one chat request */

	/* Text processing. */
	TEXT_STACK_BYTES = 64 * 1024 * 1024, /* of each thread of the text pool; only touched pages cost memory */
	TEXT_RUN_MAX =
		16 * 1024, /* characters of one class in a row before a cut; 320 bytes of stack each, worst known */
	TEXT_PART_BYTES = 256 * 1024, /* a longer text is tokenized in parts, where that changes no token: 25 ms each */
	TEXT_PART_BYTES_LLAMA = 8 * 1024, /* by llama.cpp: up to 2 us a byte */
	TEXT_PART_BYTES_LLAMA_MAX = 64 * 1024, /* no place without a change: cut all the same */
	/* What a chat template is given besides the messages' texts, all of one request together (tool calls, their
	 * arguments, tools, keyword arguments). A value of the template engine is some 300 bytes. Past it: 400. */
	TEMPLATE_VALUES_MAX = 256 * 1024,
	TEMPLATE_CPU_MS_MAX = 3000, /* of one render; 16,384 messages take 0.8 s. Past it: 400 */
	TEMPLATE_KWARGS_BYTES_MAX = 64 * 1024, /* chat_template_kwargs; switches and a few texts. Past it: 400 */
	TEXT_CACHE_BYTES_MAX =
		8 * 1024 * 1024, /* tokenized segments of chat prompts, the default; the least recently used goes */

	WORKERS_MAX = 1024, /* known to one frontend */
	LINK_PROVEN_MS =
		5 * 1000, /* in service; a connection to a worker that ends sooner makes the next wait longer */
	WORKER_STEP_MS_MAX = 45 * 1000, /* of one step; then its worker takes nothing more until it ends */
	WORKER_HANG_MS = 10 * 60 * 1000, /* of one step; then its worker ends, to be started again */
	/* Silence of a worker with requests of ours: frontend/internal.h, backend_watch. */
	WORKER_ASK_MS = 1000, /* then it is asked whether it is there; its loop answers within milliseconds */
	WORKER_STOPPED_MS = 10 * 1000, /* nothing came, no answer either: it is given up */
	WORKER_SILENT_MS = 60 * 1000, /* the same for one that cannot be asked: its longest step, and room */
	WORKER_RETURN_MS = 2 * 1000, /* given up, and no sign of it since: nothing waits for it */
	WORKER_IDLE_MS = 15 * 60 * 1000, /* it answers and does no work; by itself it would have ended before */
	/* A request of which nothing was sent goes to another worker: frontend/retry.c. */
	RETRY_ATTEMPTS_MAX = 3, /* dispatches of a prompt in all: one that kills engines kills few */
	RETRY_BYTES_MAX = 64 * 1024 * 1024, /* of prompts kept for it, all together; past it they are not */
	BLOCK_TOKENS_MAX = 65536, /* of a worker's blocks; what a card says beyond it is no block size */
	WORKER_SEQS_MAX = 65536, /* at once in one worker, likewise */
	FRONTENDS_MAX = 64, /* connected to one worker, their hand-shake done */
	STRANGERS_MAX = 16, /* connections before that; then one of the host that has most of them goes, the oldest */
	STRANGER_FRAME_BYTES_MAX = 4096, /* from one whose hand-shake is not done: HELLO is some hundred bytes */
	CARD_FRAME_BYTES_MAX = 64 * 1024, /* from a worker that has shaken hands and not said what it is */
	SEQS_MAX = 256, /* sequences of one llama worker: libllama's own limit */
};

static_assert(WORKER_STEP_MS_MAX < WORKER_SILENT_MS, "a worker that can speak says what is wrong first");
static_assert(WORKER_HANG_MS < WORKER_IDLE_MS, "likewise");
static_assert(TOKENS_MAX * 4 < FRAME_BYTES_MAX, "a prompt must fit a frame");

#endif
