/* worker_priv.h - what worker.c (steps, life) and peer.c (one frontend's connection) share. */
#ifndef STATOR_WORKER_WORKER_PRIV_H
#define STATOR_WORKER_WORKER_PRIV_H

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "wire/hello.h"
#include "worker/worker.h"

struct peer {
	struct list link;
	struct worker *w;
	struct env_conn *conn; /* NULL once closed */
	struct hello hello;
	struct env_timer hello_timer;
	bool known; /* the hand-shake is done; else it is a stranger, which counts apart */
	bool up; /* and the card is sent, and it is not closing */
	bool closing; /* what is queued still leaves; nothing is read any more */
	bool reading; /* inside on_data: freed when it ends */
	struct buf in, out; /* a frame that is not whole yet; what leaves at the end of this piece of work or later */
	struct env_timer send_timer; /* set: out waits for the send interval's end */
	uint64_t sent_us; /* when something left last */
	bool urgent; /* out holds something that does not wait */
	struct arena arena; /* of the frame being read */
	struct map requests; /* its id -> struct wreq */
	struct kv_snapshot snapshot;
	bool snapshot_open, snapshot_first;
	VEC(struct msg_token_item) items; /* scratch: its tokens of one step */
};

/* A request as the frontends know it. */
struct wreq {
	struct peer *peer; /* NULL: gone, its tokens go nowhere */
	uint64_t id; /* the peer's */
	uint64_t sched_id;
	bool begun; /* its first token was sent */
};

struct worker {
	struct env *env;
	struct engine *engine;
	const struct engine_info *info;
	struct sched *sched;
	struct worker_config config;
	char *name, *model, *role;
	void *kv_secret; /* for the seeds of salted requests */
	size_t kv_secret_len;
	uint64_t kv_seed; /* of unsalted ones */
	struct env_listener *listener;
	struct list peers;
	uint32_t peers_count, strangers_count, requests_count; /* strangers are peers too */
	uint64_t next_sched_id;
	struct env_timer kick; /* compose in the next turn, when what arrives together has arrived */
	struct env_timer virtual_end; /* of the step, with virtual_time */
	struct env_timer drain_end;
	struct env_timer watch; /* while a step is out: does it end? */
	struct env_job job;
	bool job_out, draining, drained, failed;
	bool stuck; /* the step that is out takes too long */
	int step_code;
	struct err step_err;
	uint64_t steps, frontends_cut, step_began_us;
	uint64_t out_us,
		watched_us; /* how long the step has been out, as far as this process was awake; looked at when */
	struct kv_changes changes;
	uint64_t told_digest; /* of the blocks reported up to now */
	uint32_t told_held;
};

/* worker.c */
int worker_request(struct worker *w, struct peer *p, const struct msg_request *m, struct err *err);
void worker_cancel(struct worker *w, struct wreq *r);
/* Something changed: compose soon. */
void worker_kick(struct worker *w);
/* Report cache changes to every frontend that is up. */
void worker_tell_changes(struct worker *w);
void worker_fill_card(const struct worker *w, struct msg_card *ret);

/* peer.c */
void peer_accept(struct worker *w, struct env_conn *conn);
/* Cancel its requests, close, free. */
void peer_close(struct peer *p);
/* Cancel its requests, tell it why, close when that has left. */
void peer_refuse(struct peer *p, int code, const char *why);
/* Close when what is queued has left. */
void peer_finish(struct peer *p);
/* Encode behind what leaves at peer_flush. Everything but tokens, step reports and cache changes is urgent. */
void peer_send(struct peer *p, enum msg_type type, const void *msg);
/* Write what was sent: now when it is urgent or the last write is a send interval ago, else when it will be. Closes the
 * peer when too much waits for it: use list_foreach_safe around it. */
void peer_flush(struct peer *p);
/* Send the snapshot from the start. */
void peer_snapshot_begin(struct peer *p);
/* Send more of it, as far as the connection takes it. */
void peer_snapshot_pump(struct peer *p);

#endif
