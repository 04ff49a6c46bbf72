/* supervisor_show.c - what a supervisor says: the table, log lines, why a process died; see supervisor_priv.h. */
#include "launch/supervisor_priv.h"
#include "base/log.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void supervisor_show_row(struct supervisor *s, const struct process *p, enum screen_state state, const char *text)
{
	struct screen_row *row = &s->rows[supervisor_index(s, p)];

	row->state = state;
	snprintf(row->text, sizeof row->text, "%s", text);
	screen_clean(row->text);
	if (!s->config->json)
		screen_changed(&s->screen, supervisor_index(s, p));
}

/* A line of a process's log, on stderr unless the table is drawn on the same terminal. */
void supervisor_show_line(struct supervisor *s, const struct process *p, char *line)
{
	if (s->config->json) {
		fprintf(stderr, "%s\n", line); /* it is JSON of its own, and names its worker */
	} else if (s->screen.live && isatty(STDERR_FILENO)) {
		screen_line(&s->screen, "%*s | %s", (int)s->screen.name_width, p->name, screen_clean(line));
	} else {
		fprintf(stderr, "%*s | %s\n", (int)s->screen.name_width, p->name, screen_clean(line));
	}
}

static void tail_show(struct supervisor *s, const struct process *p)
{
	for (uint32_t i = 0; i < p->tail.count; i++) {
		char line[TAIL_LINE_BYTES];

		snprintf(line, sizeof line, "%s", tail_line(&p->tail, i));
		if (s->config->json)
			log_info("last line", LOG_F("process", log_str(p->name)), LOG_F("line", log_str(line)));
		else
			screen_line(&s->screen, "    | %s", screen_clean(line));
	}
}

/* Why, when its log says so: then that is shown instead of its last lines. */
static bool cause_show(struct supervisor *s, const struct process *p)
{
	const struct finding *f = causes_find(s->causes, supervisor_index(s, p));

	if (!f)
		return false;
	if (s->config->json) {
		log_error("root cause", LOG_F("process", log_str(p->name)),
			LOG_F("class", log_str(finding_class_name(f->kind))), LOG_F("cause", log_str(f->what)),
			LOG_F("remedy", log_str(f->remedy)));
		return true;
	}
	char evidence[TAIL_LINE_BYTES];

	utf8_plain_copy(
		evidence, sizeof evidence, f->evidence ? f->evidence : "", f->evidence ? strlen(f->evidence) : 0);
	screen_line(&s->screen, "    | %s", evidence);
	screen_line(&s->screen, "  root cause (%s): %s", finding_class_name(f->kind), f->what);
	if (f->remedy)
		screen_line(&s->screen, "  remedy: %s", f->remedy);
	return true;
}

void supervisor_show_death(
	struct supervisor *s, const struct process *p, const char *how, uint64_t up_us, const char *next)
{
	bool known = causes_find(s->causes, supervisor_index(s, p)) != NULL;
	const char *why = supervised_of(p)->note;
	char note[TAIL_LINE_BYTES + sizeof supervised_of(p)->note];
	int len = snprintf(note, sizeof note, "stator: %s%s%s; %s%s%s\n", p->error, *p->error ? "; " : "", how, next,
		*why ? "; " : "", why);

	/* For who reads its log later. */
	log_file_write(
		&s->config->processes[supervisor_index(s, p)].process.log, note, MIN((size_t)len, sizeof note - 1));
	const char *lines = known ? "; its log says why:" : p->tail.count > 0 ? "; its last lines:" : NULL;

	if (s->config->json)
		log_error("process died", LOG_F("process", log_str(p->name)), LOG_F("how", log_str(how)),
			LOG_F("error", log_str(p->error)), LOG_F("up_us", log_u64(up_us)), LOG_F("next", log_str(next)),
			LOG_F("note", log_str(why)));
	else if (*p->error)
		screen_line(&s->screen, "%s%s: %s (%s after %.1f s); %s%s", p->is_frontend ? "the " : "worker ",
			p->name, p->error, how, (double)up_us / 1e6, next, lines ? lines : "");
	else
		screen_line(&s->screen, "%s%s died after %.1f s: %s; %s%s", p->is_frontend ? "the " : "worker ",
			p->name, (double)up_us / 1e6, how, next, lines ? lines : "; it had logged nothing");
	if (!cause_show(s, p))
		tail_show(s, p);
	if (*why && !s->config->json)
		screen_line(&s->screen, "  %s", why);
}

void supervisor_show_event(struct supervisor *s, const struct process *p, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!s->config->json)
		screen_line(&s->screen, "%s", text);
	else if (p)
		log_info("deployment", LOG_F("state", log_str(text)), LOG_F("process", log_str(p->name)));
	else
		log_info("deployment", LOG_F("state", log_str(text)));
}

void supervisor_show_ready(struct supervisor *s, const struct process *p, const char *where)
{
	const struct supervised *of = supervised_of(p);
	char text[sizeof of->info + sizeof of->facts + 4];

	if (s->config->json)
		log_info("process ready", LOG_F("process", log_str(p->name)), LOG_F("addr", log_str(where)),
			LOG_F("info", log_str(of->info)));
	snprintf(text, sizeof text, "%s%s%s", of->info, *of->info && *of->facts ? "; " : "", of->facts);
	supervisor_show_row(s, p, SCREEN_READY, text);
}
