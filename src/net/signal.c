/* signal.c - signals become calls on the loop: the handler notes the number and wakes the loop. A signal belongs to one
 * loop of the process at a time. */
#include "net/loop_priv.h"

#include <signal.h>

struct signal_watch {
	struct list link; /* in loop->signals */
	int signo;
	void (*fn)(void *ctx, int signo);
	void *ctx;
	struct sigaction before;
};

static _Atomic(struct loop *) owner_of[SIGNALS_MAX];

static void on_signal(int signo)
{
	struct loop *l = atomic_load(&owner_of[signo]);

	if (!l)
		return;
	atomic_fetch_or(&l->signals_seen, 1ull << signo);
	loop_wake(l);
}

int loop_on_signal(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx, struct err *err)
{
	struct signal_watch *w = calloc(1, sizeof *w);
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct loop *nobody = NULL;

	ASSERT(signo > 0 && signo < SIGNALS_MAX);
	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	*w = (struct signal_watch){.signo = signo, .fn = fn, .ctx = ctx};
	sigfillset(&action.sa_mask);
	if (!atomic_compare_exchange_strong(&owner_of[signo], &nobody, l)) {
		free(w);
		return err_set(err, -EBUSY, "could not watch signal %d: it is watched already", signo);
	}
	if (sigaction(signo, &action, &w->before) < 0) {
		atomic_store(&owner_of[signo], NULL);
		free(w);
		return err_set_errno(err, -errno, "could not watch signal %d", signo);
	}
	list_add_tail(&l->signals, &w->link);
	return 0;
}

void signals_tell(struct loop *l)
{
	uint64_t seen = atomic_exchange(&l->signals_seen, 0);

	if (!seen)
		return;
	list_foreach_safe(it, &l->signals)
	{
		struct signal_watch *w = list_entry(it, struct signal_watch, link);
		if (seen & 1ull << w->signo)
			w->fn(w->ctx, w->signo);
	}
}

void signals_free(struct loop *l)
{
	while (!list_empty(&l->signals)) {
		struct signal_watch *w = list_first(&l->signals, struct signal_watch, link);
		sigaction(w->signo, &w->before, NULL);
		atomic_store(&owner_of[w->signo], NULL);
		list_del(&w->link);
		free(w);
	}
}
