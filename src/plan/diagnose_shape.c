/* diagnose_shape.c - see diagnose_shape.h. */
#include "plan/diagnose_shape.h"
#include "plan/diagnose_text.h"

enum { PROGRAM_BYTES_MAX = 60 };

/* Where word is from at on, without regard to case; len: nowhere. */
static size_t find(const char *line, size_t len, size_t at, const char *word)
{
	for (; at < len; at++)
		if (tolower((unsigned char)line[at]) == tolower((unsigned char)*word) &&
			text_has_at(line, len, at, word))
			return at;
	return len;
}

static NO_COVERAGE uint32_t text_pair(char a, char b)
{
	return ((uint32_t)(unsigned char)a * 37 + (unsigned char)b) % TEXT_PAIRS;
}

/* Eight bytes at once, since each line with a telling word is copied so. */
NO_COVERAGE void text_low_make(struct text_low *ret, const char *line, size_t len)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	char *low = ret->text;
	size_t i = 0;

	ret->len = len = MIN(len, (size_t)LINE_LOOK_BYTES);
	for (uint64_t word; i + sizeof word <= len; i += sizeof word) {
		memcpy(&word, line + i, sizeof word);
		uint64_t seven = word & ~high, upper = (seven + ones * (0x80 - 'A')) ^ (seven + ones * (0x7f - 'Z'));
		word |= (upper & ~word & high) >> 2;
		memcpy(low + i, &word, sizeof word);
	}
	for (; i < len; i++)
		low[i] = line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] + 'a' - 'A') : line[i];
	memset(ret->pairs, 0, sizeof ret->pairs);
	for (i = 1; i < len; i++) {
		uint32_t pair = text_pair(low[i - 1], low[i]);

		ret->pairs[pair / 64] |= UINT64_C(1) << pair % 64;
	}
}

/* What a fuzzer would learn of a pair of characters is nothing. */
NO_COVERAGE size_t low_find(const struct text_low *t, size_t at, const char *word)
{
	for (const char *c = word; c[0] && c[1]; c++) {
		uint32_t pair = text_pair(c[0], c[1]);

		if (!(t->pairs[pair / 64] >> pair % 64 & 1))
			return t->len;
	}
	return text_find(t->text, t->len, at, word);
}

void line_look(struct line_look *ret, const char *line, size_t len)
{
	size_t look = MIN(len, (size_t)LINE_LOOK_BYTES);

	while (look > 0 && isspace((unsigned char)line[look - 1]))
		look--;
	ret->line = line;
	ret->len = len;
	ret->from = line_carried_from(line, len);
	text_low_make(&ret->low, line, look);
	ret->level = line_level_of(line, len, &ret->low, ret->from);
}

/* Exceptions. */

/* Programs stopped on purpose end with these. */
static bool is_asked_for(const struct text_low *t)
{
	static const char *const words[] = {
		"keyboardinterrupt", "cancellederror", "generatorexit", "systemexit: 0", NULL};

	return low_has_any(t, words);
}

bool line_ignores_exception(const struct line_look *l)
{
	return low_has(&l->low, "exception ignored in");
}

/* May an exception's name begin here? In front of it stands nothing, or what a log puts before a message. */
static bool begins_here(const char *line, size_t at)
{
	size_t word = at;

	if (at == line_carried_from(line, at + 1))
		return true;
	while (at > 0 && line[at - 1] == ' ')
		at--;
	if (at == 0 || strchr("]):|>\"", line[at - 1]))
		return !(at >= 8 && strncasecmp(line + at - 8, "Warning:", 8) == 0);
	if (at == word)
		return at >= 2 && line[at - 2] == '\\' && line[at - 1] == 'n';
	for (word = at; word > 0 && isupper((unsigned char)line[word - 1]);)
		word--;
	return line_level(line + word, at - word) >= LEVEL_ERROR;
}

/* "RayTaskError(ValueError): ": behind the name, that of another in brackets. Returns its length, 0: none. */
static size_t wrapped_name(const char *line, size_t len, size_t at)
{
	size_t end = at + 1;

	if (at >= len || line[at] != '(')
		return 0;
	while (end < len && text_is_name(line[end]))
		end++;
	return end > at + 1 && text_has_at(line, len, end, "):") ? end + 1 - at : 0;
}

static bool exception_at(const char *line, size_t len, size_t *ret_at)
{
	static const char *const ends[] = {"Error", "Exception"};

	for (size_t i = 0; i < len; i++)
		for (size_t k = 0; k < ARRAY_LEN(ends) && line[i] == 'E'; k++) {
			size_t end = i + strlen(ends[k]), from = i, last;

			if (end > len || memcmp(line + i, ends[k], end - i) != 0)
				continue;
			end += wrapped_name(line, len, end);
			if ((end < len && line[end] != ':' && line[end] != '"' && line[end] != '\\'))
				continue;
			while (from > 0 && text_is_name(line[from - 1]))
				from--;
			/* "\nValueError": the n is the line feed's. */
			if (from > 0 && line[from - 1] == '\\' && line[from] == 'n')
				from++;
			for (last = end; last > from && line[last - 1] != '.' && line[last - 1] != '_';)
				last--;
			/* "Reason: Error" names nothing. */
			if (from == i && (end == len || line[end] != ':'))
				continue;
			if (!isupper((unsigned char)line[last]) || !begins_here(line, from))
				continue;
			*ret_at = from;
			return true;
		}
	return false;
}

/* "server: error: ...", "error: ...", "Error: ...", "fatal: ...": a program that was run, at the margin. */
static bool program_error_at(const struct line_look *l, size_t *ret_at)
{
	const struct text_low *t = &l->low;
	const char *line = l->line;
	size_t len = t->len, from = MIN(l->from, len), at;

	while (from < len && line[from] == ' ')
		from++;
	at = text_find(t->text, MIN(len, from + PROGRAM_BYTES_MAX), from, "error: ");
	*ret_at = from;
	if (text_has_at(line, len, from, "fatal: ") || text_has_at(line, len, from, "panic: ") ||
		low_find(t, from, "error response from daemon: ") < MIN(len, from + PROGRAM_BYTES_MAX))
		return true;
	/* PowerShell; and the box in which typer and rich-click put what was wrong with the arguments. */
	if (text_has_at(line, len, from, "Error from server") || low_has(t, " is not recognized as ") ||
		text_has_at(line, len, from, "\xe2\x95\xad\xe2\x94\x80 Error "))
		return true;
	if (low_find(t, from, "exec: ") < len && low_find(t, from, "not found") < len)
		return true;
	/* "exec /usr/bin/zork: exec format error", "exec: \"zork\": executable file not found" */
	if (text_has_at(line, len, from, "exec ") && (low_find(t, from, ": exec format error") < len ||
							     low_find(t, from, ": no such file or directory") < len))
		return true;
	if (at >= MIN(len, from + PROGRAM_BYTES_MAX))
		return false;
	/* "ERROR: ..." is the level of a logger. */
	if (line[at + 1] == 'R')
		return false;
	if (at == from)
		return true;
	if (at < from + 3 || line[at - 2] != ':' || line[at - 1] != ' ' || isdigit((unsigned char)line[from]))
		return false;
	for (size_t i = from; i < at - 2; i++)
		if (!text_is_name(line[i]) && !strchr("-/ ", line[i]))
			return false;
	return true;
}

/* glibc's "Assertion `x' failed", libstdc++'s and Rust's quotes, BSD's and TensorRT-LLM's "Assertion failed: ", glog's "Check
 * failed: ". A GGML_ASSERT is a death (is_death): it is raised for errors that were logged before it. */
static bool is_assertion(const struct text_low *t)
{
	return ((low_has(t, "assertion `") || low_has(t, "assertion '")) && low_has(t, "failed")) ||
	       low_has(t, "assertion failed: ") || low_has(t, "check failed: ");
}

static bool is_panic(const struct text_low *t)
{
	static const char *const words[] = {"fatal python error",
		"fatal error: ", "what():", "panic: ", "uncaught exception of type", "pure virtual method called",
		"sanitizer: ",
		/* glibc's checks of the heap and the stack. */
		"(): invalid ", "(): corrupted ", "(): unaligned ", "double free or corruption",
		"corrupted size vs. prev_size", "stack smashing detected",
		/* The loader of macOS. */
		"library not loaded: ", NULL};
	size_t thread = low_find(t, 0, "thread '");

	return (thread < t->len && low_find(t, thread, "' panicked at") < t->len) || low_has_any(t, words) ||
	       is_assertion(t);
}

/* "zork.cu(41): error: ...", "main.cpp:12:9: fatal error: ...", and what linkers and CMake say. */
static bool compile_error_at(const struct text_low *t)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const marks[] = {": error: ", ": fatal error: "};
	static const char *const tools[] = {"ld: cannot find -l", ": undefined reference to ", "nvcc fatal ",
		"nvcc error ", "ptxas fatal ", "ptxas error ",
		"hipcc: error: ", "collect2: error: ", "clang: error: ", "ninja: error: ", "ninja: fatal: ", NULL};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		size_t at = text_find(low, MIN(len, 4 * PROGRAM_BYTES_MAX), 0, marks[i]);

		if (at > 2 && at < MIN(len, 4 * PROGRAM_BYTES_MAX) && !memchr(low, ' ', at) &&
			(low[at - 1] == ')' || isdigit((unsigned char)low[at - 1])))
			return true;
	}
	return low_has_any(t, tools) || text_has_at(low, len, 0, "cmake error");
}

/* An event of Kubernetes: "  Warning  FailedMount  12s (x7 over 44s)  kubelet  ...". What only may pass is not among these. */
static bool is_failed_event(const char *line, const struct text_low *t, size_t *ret_at)
{
	static const char *const reasons[] = {"failed", "unexpected", "unschedulable", "evicted", "oomkill",
		"systemoom", "outof", "nodenotready", "nodeaffinity", "hostportconflict", "networknotready", "exceeded",
		"deadlineexceeded", "invalid", "insufficient", "notriggerscaleup", "preempted", "errimage",
		"inspectfailed", "volumeresizefailed"};
	const char *low = t->text;
	size_t len = t->len;
	size_t at = text_span(line, len, 0, " "), end;

	if (!text_has_at(line, len, at, "Warning "))
		return false;
	at += strlen("Warning");
	at += text_span(line, len, at, " ");
	for (end = at; end < len && line[end] != ' ';)
		end++;
	*ret_at = at;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (text_has_at(low, len, at, reasons[i]))
			return true;
	return end > at + 5 && text_has_at(low, len, end - 5, "error");
}

uint32_t line_details(const char *text, size_t len)
{
	struct text_low low, *t = &low;

	text_low_make(t, text, len);
	for (len = t->len; len > 0 && isspace((unsigned char)t->text[len - 1]);)
		len--;
	if (low_has(t, "validation error") || low_has(t, "scannererror: while ") || low_has(t, "parsererror: while "))
		return 2;
	return (len > 0 && t->text[len - 1] == ':') || text_has_at(text, len, 0, "\xe2\x95\xad\xe2\x94\x80 Error ") ? 1
														    : 0;
}

bool line_ends_traceback(const char *line, size_t len, size_t at)
{
	struct text_low low;

	if (at >= len || !isalpha((unsigned char)line[at]))
		return false;
	text_low_make(&low, line + at, len - at);
	return !is_asked_for(&low);
}

bool line_inner_exception(const char *line, size_t len, size_t at, size_t *ret_at, size_t *ret_len)
{
	while ((at = find(line, len, at, "\\n")) < len) {
		size_t end;

		at += 2;
		end = find(line, len, at, "\\n");
		if (at >= len || !isalpha((unsigned char)line[at]))
			continue;
		for (size_t i = at; i < end; i++)
			if (line[i] == '"' && line[i - 1] != '\\')
				end = i;
		*ret_at = at;
		*ret_len = end - at;
		return true;
	}
	return false;
}

/* Ends of processes. */

/* The status behind a word such as "exit code": 0, and those of a stop that was asked for, are no failure. */
static bool status_is_bad(const struct text_low *t, const char *word)
{
	const char *line = t->text;
	size_t len = t->len, at = low_find(t, 0, word) + strlen(word);
	bool minus;
	int value = 0;

	if (at >= len)
		return false;
	while (at < len && strchr(" :=(\"'", line[at]))
		at++;
	minus = at < len && line[at] == '-';
	at += minus;
	if (at >= len || !isdigit((unsigned char)line[at]))
		return false;
	/* Windows: "0xc0000005". */
	if (text_has_at(line, len, at, "0x")) {
		at += 2 + text_span(line, len, at + 2, "0");
		return at < len && isxdigit((unsigned char)line[at]);
	}
	for (; at < len && isdigit((unsigned char)line[at]) && value < 100000; at++)
		value = value * 10 + line[at] - '0';
	if (minus || strstr(word, "signal"))
		return value != 2 && value != 15 && value != 0;
	return value != 0 && value != 130 && value != 143;
}

/* "run.sh: line 12:  4711 Killed      python3 ...", "zsh: killed     ./zork" */
static bool is_reported_death(const struct text_low *t)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const words[] = {"killed ", "abort", "bus error", "segmentation fault", "illegal ",
		"trace trap", "floating point exception"};
	size_t at = low_find(t, 0, ": line ");

	if (text_has_at(low, len, 0, "zsh: ")) {
		at = strlen("zsh: ");
	} else if (at < len) {
		at += strlen(": line ");
		at += text_span(low, len, at, "0123456789");
		at += text_span(low, len, at, ": ");
		if (at >= len || !isdigit((unsigned char)low[at]))
			return false;
		at += text_span(low, len, at, "0123456789 ");
	}
	for (size_t i = 0; i < ARRAY_LEN(words) && at < len; i++)
		if (text_has_at(low, len, at, words[i]))
			return true;
	return false;
}

/* At the end of its line, alone, behind a process id or a shell's name, or where a progress bar stopped ("3/4 [00:08<00:02]Killed"). */
static bool is_shell_death(const struct text_low *t)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const words[] = {"aborted", "killed", "bus error", "illegal instruction",
		"floating point exception", "trace/breakpoint trap"};

	len -= len > 0 && low[len - 1] == '.';
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		if (len < n || memcmp(low + len - n, words[i], n) != 0)
			continue;
		if (len == n || (low[len - n - 1] == ' ' && len < PROGRAM_BYTES_MAX) || strchr("]|%", low[len - n - 1]))
			return true;
	}
	return low_has(t, "core dumped") || is_reported_death(t);
}

/* "/app/ggml/src/ggml.c:1234: fatal error": how ggml ends its process; what it logs begins with no place in a file. */
static bool is_ggml_abort(const struct text_low *t)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const ends[] = {".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".m", ".mm"};
	size_t colon = low_find(t, 0, ":"), digits, path = 0;

	/* "C:\\llama.cpp\\..." */
	if (colon == 1)
		colon = low_find(t, 2, ":");
	digits = text_span(low, len, colon + 1, "0123456789");
	if (digits == 0 || !text_has_at(low, len, colon + 1 + digits, ": "))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(ends) && path == 0; i++)
		if (colon > strlen(ends[i]) && text_has_at(low, colon, colon - strlen(ends[i]), ends[i]))
			path = colon;
	return path > 0 && (text_find(low, path, 0, "ggml") < path || text_find(low, path, 0, "llama") < path) &&
	       !memchr(low, ' ', path) && !text_has_at(low, len, colon + 1 + digits, ": warning") &&
	       !text_has_at(low, len, colon + 1 + digits, ": note");
}

/* mild: the line itself is no error: then a status counts only when it says that something exited. */
static bool is_death(const struct text_low *t, bool mild)
{
	static const char *const statuses[] = {"exit code", "exited with code", "exit status", "exitcode",
		"exited with status", "exit_code", "code: exited, status", "terminated by signal", "received signal",
		"caught signal", "signal:", "killed by signal", "exited on signal", "exited ("};
	static const char *const words[] = {"terminate called", "segmentation fault", "sigsegv", "sigabrt", "sigbus",
		"sigill", "ggml_assert", "ggml_abort", "exiting due to", "failed to load model",
		"failed to load all models", "failed with result 'signal'", "failed with result 'exit-code'",
		"crashloopbackoff", "enginedeaderror", "due to time limit", "due to preemption", "due to node fail",
		"mpi_abort was invoked", "application startup failed", "createcontainerconfigerror",
		"createcontainererror", "runcontainererror", "invalidimagename", "errimageneverpull",
		"encountered a fatal error", "exception caught at file:", "died unexpectedly", "terminated with signal",
		"received signal sig",
		/* Frames of a debugger. */
		"__gi_abort", " in abort (", "std::terminate", "__pthread_kill", NULL};

	size_t oom = low_find(t, 0, "oomkilled");

	/* docker inspect says of each container whether it was. */
	if (oom < t->len && low_find(t, oom, "false") > oom + strlen("oomkilled\": "))
		return true;
	if (low_has_any(t, words) || is_shell_death(t) || (!mild && is_ggml_abort(t)))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if ((!mild || low_has(t, "exited")) && status_is_bad(t, statuses[i]))
			return true;
	return false;
}

bool line_is_final(const struct line_look *l)
{
	return l->level == LEVEL_FATAL || is_panic(&l->low) || is_death(&l->low, false);
}

/* Errors that were logged. */

/* The driver's own lines, and the kernel's of devices, have no severity in them. */
static bool is_hardware_error(const struct text_low *t)
{
	static const char *const words[] = {
		"error", "fail", "timeout", "timed out", "fallen off", "uncorrect", "not responding", NULL};
	static const char *const kernel[] = {"i/o error, dev ", "ext4-fs error", "xfs error", "aer: uncorrect",
		"nvme nvme", "watchdog: bug: ", "kernel panic", "invoked oom-killer", "nfs: server ",
		"blocked for more than", NULL};

	if (low_has(t, "nvrm: "))
		return low_has_any(t, words);
	return low_has_any(t, kernel) &&
	       low_has_any(t, (const char *const[]){"error", "bug: ", "panic", "oom-killer", "uncorrect", "timeout",
				      "not responding", "blocked for", NULL});
}

/* "zork: /etc/zork: Permission denied": how programs pass on what the system says. */
static bool ends_in_system_error(const struct text_low *t)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const words[] = {": no such file or directory", ": permission denied",
		": connection refused", ": address already in use", ": cannot allocate memory",
		": no space left on device", ": input/output error", ": device or resource busy",
		": operation not permitted", ": read-only file system", ": too many open files",
		": key was rejected by service", ": command not found", ": host is unreachable", ": no route to host",
		": port is already allocated", ": exec format error"};

	len -= len > 0 && low[len - 1] == '.';
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		if (len > n && memcmp(low + len - n, words[i], n) == 0)
			return true;
	}
	return false;
}

/* At the margin, or behind the name of a function, what went wrong: "error while handling argument", "Failed to create x",
 * "zork_init: unable to map x". */
static bool begins_with_error(const struct line_look *l)
{
	const char *low = l->low.text;
	size_t len = l->low.len;
	static const char *const words[] = {"error while ", "error creating ", "error loading ", "error starting ",
		"error initializing ", "error opening ", "error running ", "error parsing ", "error reading ",
		"failed to ", "unable to ", "could not ", "cannot "};
	size_t at = MIN(l->from, len), name = at;

	while (name < len && text_is_name(low[name]))
		name++;
	if (name > at && name + 1 < len && low[name] == ':' && low[name + 1] == ' ')
		at = name + 2;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (text_has_at(low, len, at, words[i]))
			return true;
	return false;
}

static bool is_logged_error(const struct line_look *l)
{
	const struct text_low *t = &l->low;
	const char *low = t->text;
	enum line_level level = l->level;
	static const char *const words[] = {"nvrm: xid", "failedscheduling", "failedmount", "errimagepull",
		"imagepullbackoff", "failedcreate", " fatal: ", NULL};
	size_t begin = MIN(t->len, (size_t)PROGRAM_BYTES_MAX), at = text_find(low, begin, 0, "error: ");

	return level == LEVEL_ERROR ||
	       (at < begin && (at == 0 || !text_is_name(low[at - 1])) && level == LEVEL_UNKNOWN) ||
	       low_has_any(t, words) || is_hardware_error(t) ||
	       (level == LEVEL_UNKNOWN && (begins_with_error(l) || ends_in_system_error(t)));
}

/* "msg=\"Load failed\" error=\"timed out\"": whatever its level is called, it hands on an error that is not empty. */
static bool hands_on_error(const struct text_low *t)
{
	static const char *const keys[] = {" error=\"", " err=\"", "\"error\":\"", "\"err\":\""};

	if (!low_has(t, "fail") && !low_has(t, "error loading"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		size_t at = low_find(t, 0, keys[i]) + strlen(keys[i]);

		if (at < t->len && t->text[at] != '"')
			return true;
	}
	return false;
}

enum line_shape line_shape(const struct line_look *l, size_t *ret_at)
{
	const struct text_low *t = &l->low;
	bool mild = l->level > LEVEL_UNKNOWN && l->level < LEVEL_ERROR;

	*ret_at = 0;
	if (is_asked_for(t) || low_has(t, "exception ignored in"))
		return SHAPE_NONE;
	if (!mild && (is_panic(t) || exception_at(l->line, t->len, ret_at) || program_error_at(l, ret_at) ||
			     compile_error_at(t) || is_failed_event(l->line, t, ret_at)))
		return SHAPE_EXCEPTION;
	*ret_at = 0;
	if (l->level == LEVEL_FATAL)
		return SHAPE_EXCEPTION;
	if (is_death(t, mild))
		return SHAPE_DEATH;
	if (l->level == LEVEL_INFO)
		return hands_on_error(t) ? SHAPE_ERROR : SHAPE_NONE;
	return !mild && is_logged_error(l) ? SHAPE_ERROR : SHAPE_NONE;
}

/* Lines of no shape. */

/* Words that no server that serves says in passing. */
static const char *const hard_words[] = {"fatal", "panic", "crash", "segfault", "core dumped", "killed", "corrupt",
	"hardware exception", "hsa_status_error", NULL};
static const char *const failing_words[] = {"error", "fail", "abort", "could not", "unable to", "exception", NULL};
static const char *const bad_words[] = {"cannot ", "assert", "illegal ", "invalid ", "malformed ", "denied", "refused",
	"timed out", "insufficient ", "no matching ", "no match for", "unreachable", "not responding", "out of memory",
	"undefined ", NULL};

/* "crashed", "failure", but not "crashkernel". */
static bool is_ending(const char *low, size_t len)
{
	static const char *const endings[] = {
		"", "s", "d", "ed", "es", "ing", "ure", "ures", "ion", "ions", "ked", "ted", "ally"};

	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (len == strlen(endings[i]) && memcmp(low, endings[i], len) == 0)
			return true;
	return false;
}

/* A word of its own and not part of a name, an option or a path, and of which there is not none: "0 errors", "error: null". */
static bool low_says(const struct text_low *t, const char *word)
{
	const char *low = t->text;
	size_t len = t->len;
	static const char *const none_before[] = {"0 ", "no ", "without ", "any ", "not ", "on ", "may ", "might ",
		"for "},
				 *const none_behind[] = {": 0", "=0", " 0", "\": 0", ": none", ": null", "\": null",
					 ": false", ": []", ": \"\"", "-free"};

	for (size_t at = low_find(t, 0, word); at < len; at = low_find(t, at + 1, word)) {
		size_t end = at + strlen(word);
		bool none = at > 0 && (isalnum((unsigned char)low[at - 1]) || strchr("_-/.=", low[at - 1]));

		while (low[end - 1] != ' ' && end < len && isalpha((unsigned char)low[end]))
			end++;
		none = none || !is_ending(low + at + strlen(word), end - at - strlen(word));
		none = none || (at > 0 && end < len && strchr("'\"", low[at - 1]) && low[end] == low[at - 1]);
		/* A name goes on, but those of HSA are whole. */
		none = none || (end < len && strchr("_-=/(", low[end]) && low[end - 1] != ' ' && *word != 'h');
		for (size_t i = 0; i < ARRAY_LEN(none_before) && !none; i++) {
			size_t n = strlen(none_before[i]);

			none = at >= n && memcmp(low + at - n, none_before[i], n) == 0 &&
			       (at == n || !isalnum((unsigned char)low[at - n - 1]));
		}
		for (size_t i = 0; i < ARRAY_LEN(none_behind) && !none; i++)
			none = text_has_at(low, len, end, none_behind[i]);
		if (!none)
			return true;
	}
	return false;
}

static bool low_says_any(const struct text_low *t, const char *const *words)
{
	for (; *words; words++)
		if (low_says(t, *words))
			return true;
	return false;
}

/* What a log does not end with when all is well. */
static const char *const ending_words[] = {" ended", " exited", " terminated", " died", " gave up", " giving up", NULL};
static const char *const ending_well[] = {" status 0", " code 0", " code: 0", "success", "normally", "gracefully",
	"cleanly", "complete", "finished", NULL};

static bool may_fail(const struct line_look *l, bool strict, bool last)
{
	const struct text_low *t = &l->low;
	bool mild = l->level > LEVEL_UNKNOWN && l->level < LEVEL_ERROR;

	/* What is indented goes on with something else: the frames of a traceback, the fields of an object. */
	if (l->level == LEVEL_INFO || l->level == LEVEL_DEBUG || (mild && !last) ||
		(l->len > 0 && isspace((unsigned char)*l->line)))
		return false;
	if (is_asked_for(t) || low_has(t, "exception ignored in") || low_has(t, "warning: "))
		return false;
	return low_says_any(t, hard_words) ||
	       (last && !strict && low_has_any(t, ending_words) && !low_has_any(t, ending_well)) ||
	       (!strict && (low_says_any(t, failing_words) || (!mild && low_says_any(t, bad_words))));
}

bool line_may_fail(const struct line_look *l, bool strict)
{
	return may_fail(l, strict, false);
}

bool last_line_is_missing_program(const char *line, size_t len)
{
	static const char *const words[] = {": command not found", ": not found"};
	struct line_look look;

	line_look(&look, line, len);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		if (look.low.len > n && memcmp(look.low.text + look.low.len - n, words[i], n) == 0)
			return low_has(&look.low, ": line ") || low_has(&look.low, "sh: ") || i == 0;
	}
	return false;
}

bool last_line_is_error(const char *line, size_t len)
{
	struct line_look look;

	line_look(&look, line, len);
	return look.level >= LEVEL_ERROR && !is_asked_for(&look.low);
}

bool last_line_may_fail(const char *line, size_t len, bool strict)
{
	/* What bash says of a program that was killed. */
	static const char *const killed[] = {"已杀死", "已終止", "已终止", "已砍掉", "強制終了", "죽었음", "Getötet",
		"Processus arrêté", "Tué", "Ucciso", "Terminado (killed)", "Matado", "Morto", "Убито", "Zabity",
		"Unicestwiony", "Geëlimineerd", "Dödad", "Süreç durduruldu"};

	for (size_t i = 0; i < ARRAY_LEN(killed); i++) {
		size_t n = strlen(killed[i]);

		if (len >= n && len < PROGRAM_BYTES_MAX && line[len - n] == *killed[i] &&
			memcmp(line + len - n, killed[i], n) == 0)
			return true;
	}
	struct line_look look;

	line_look(&look, line, len);
	return may_fail(&look, strict, true);
}

/* Classes. */

enum finding_class line_failure_class(const char *text)
{
	static const char *const capacity[] = {"outofmemory", "out of memory", "memoryerror", "bad_alloc", "oomkilled",
		"oom-killer", "insufficient ", "memory pressure", "runs out of", "low on resource", "cudamalloc failed",
		"failed to allocate", "unable to allocate", "cannot allocate memory", "oom_kill", "paging file",
		"not enough slots", "not enough memory", "have enough", "is full", "storefull", "not enough gpu",
		"not enough free", "exceeded its quota", "exceeded quota", NULL};
	static const char *const environment[] = {"oserror", "ioerror", "connectionerror", "connection", "connect to",
		"importerror", "modulenotfound", "filenotfound", "permissionerror", "timeout", "httperror", "gaierror",
		"sslerror", "certificate", "brokenpipe", "permission denied", "read-only file system", "no such file",
		"cannot open shared object", "undefined symbol", "version `glibc", "in use", "timed out", "timeout",
		"unreachable", "refused", "reset by peer", "name resolution", "http status", "status code",
		"response code", "too many requests", "no such host", "resolve host", "dial tcp", "x509", "credentials",
		"statuscode.", "rpcerror", "library not loaded", "cannot find", "could not find a version",
		"no matching distribution", "notfound", "does not exist", "unauthorized", "forbidden", "bad gateway",
		"service unavailable", "cas service", "download", "os error", "input/output error", "no space left",
		"disk quota", "not found", "not installed", "not available", "out of date", "outdated", "too old",
		"nvmlerror", "nvrm", "diststoreerror", "distnetworkerror", "driver", "could not insert",
		"no kernel image", "gpus are available", "compute capability", "requires gpu", "serviceunavailable",
		"imagepull", "failedattach", "unexpectedadmission", "exec format", "os {", "failedmount", "nccl",
		"nixl", "ucx", "ibv_", "mlx5", "hccl", "getpwuid", "illegal instruction", "sigill", "signal 4",
		"exit code 132", "invalid device function", "cannot reach", "offline mode", "deadline exceeded",
		"newer version", "no matching ", "not recognized", "error fetching", "command not found", "cdi device",
		"cuda_home", "visible devices", NULL};
	static const char *const configuration[] = {"valueerror", "keyerror", "validationerror", "jsondecodeerror",
		"tomldecodeerror", "scannererror", "parsererror", "constructorerror", "argumenterror", "configerror",
		"notimplementederror", "usageerror", "unrecognized argument", "unexpected argument", "invalid choice",
		"invalid argument", "required", "not supported", "unsupported", "unknown argument", "must be",
		"must encode", "argument ", "yaml:", "unknown model", "unknown option", "no such option",
		"unknown flag", "mismatch", "incompatible", "not allowed", "divisible", "neither ",
		"mutually exclusive", "invalid value", "not a valid", "greater than or equal", "less than or equal",
		"wrong number", NULL};
	struct text_low low, kind;

	/* The type says more than the message does. */
	text_low_make(&low, text, strlen(text));
	text_low_make(&kind, text, MIN(low.len, strcspn(text, ":")));
	if (low_has_any(&low, capacity))
		return FINDING_CAPACITY;
	if (low_has_any(&kind, environment))
		return FINDING_ENVIRONMENT;
	if (low_has_any(&kind, configuration))
		return FINDING_CONFIGURATION;
	/* What an assertion says of the world is in its words; that of a program about itself has none of these. */
	if (low_has_any(&kind, (const char *const[]){"typeerror", "attributeerror", NULL}))
		return FINDING_CRASH;
	return low_has_any(&low, configuration) ? FINDING_CONFIGURATION
	       : low_has_any(&low, environment) ? FINDING_ENVIRONMENT
						: FINDING_CRASH;
}
