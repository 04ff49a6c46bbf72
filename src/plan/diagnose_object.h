/* diagnose_object.h - what Kubernetes, Docker and containerd say of a pod, a container, a node or an event, in one line each: how
 * it ended, with the numbers that stand around it.
 *
 *   object_open, object_value, object_close as a document is read (JSON, YAML); or the fields of struct object_pod, set by
 *   who reads another form, then object_pod_tell
 *
 * The lines have words of their own, which signatures of the catalogue (pod-...) know:
 *
 *   container main of pod llm/decode-0 ended over its memory limit: exit code 137, reason OOMKilled, memory limit 64Gi, restarted 7 times
 *
 * Thread: one owner. Memory: the struct; a pod of more containers than OBJECT_CONTAINERS_MAX loses the rest. */
#ifndef STATOR_PLAN_DIAGNOSE_OBJECT_H
#define STATOR_PLAN_DIAGNOSE_OBJECT_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OBJECT_CONTAINERS_MAX = 24,
	OBJECT_CONDITIONS_MAX = 16,
	OBJECT_PATH_BYTES = 512,
	OBJECT_DEPTH_MAX = 72,

	OBJECT_LINE_BYTES = 4096,
};

enum object_yes { OBJECT_UNKNOWN, OBJECT_NO, OBJECT_YES };

/* How a container ended. */
struct object_end {
	bool there;
	int code, signal;
	char reason[64], message[2048], started[40], finished[40];
	uint64_t line, message_line;
};
struct object_probe {
	bool there;
	uint32_t delay_s, period_s, failures; /* 0: not said */
};
struct object_container {
	char name[96];
	char waiting[64], waiting_message[1024]; /* why it does not run */
	uint64_t waiting_line;
	bool running, init, oom_killed;
	enum object_yes ready, started;
	uint32_t restarts;
	struct object_end now, last; /* its state, if it is that; and the one before */
	char memory_limit[32], memory_request[32], gpus[16];
	struct object_probe liveness, startup;
	uint64_t line; /* where it was first spoken of */
};
struct object_condition {
	char type[48], status[16], reason[64], message[1024];
	uint64_t line;
};
struct object_pod {
	char kind[48], space[96], name[128], phase[32], reason[64], message[1024];
	uint64_t phase_line, line;
	uint32_t count, conditions_len;
	/* A node's. */
	char gpus_capacity[16], gpus_allocatable[16];
	uint64_t gpus_line;
	/* An event's. */
	char probe_message[512]; /* why a readiness probe failed */
	uint64_t probe_line;
	char event_type[24], event_reason[64], event_message[2048], about[256];
	uint64_t event_count, event_line;
	/* Docker's and containerd's. */
	char docker_status[64], docker_error[1024], docker_health[24], health_output[1024];
	uint64_t docker_line, error_line, shm_bytes;
	bool docker, crictl, judged; /* judged: it says how something is, and not only how it is wished */
	/* Last: only as many of them as there are hold anything. */
	struct object_condition conditions[OBJECT_CONDITIONS_MAX];
	struct object_container containers[OBJECT_CONTAINERS_MAX];
};

/* One line for a log, which stands at this line of the file. */
typedef void object_told(void *ctx, uint64_t line, const char *text);

struct object {
	object_told *told;
	void *ctx;
	char path[OBJECT_PATH_BYTES]; /* keys from the outermost on: "items[].status.phase" */
	struct {
		uint16_t path_len; /* of what is around it */
		bool list, lost; /* lost: its key had no room */
	} stack[OBJECT_DEPTH_MAX];
	uint32_t depth, too_deep, lost; /* lost: how many that are open have no path */
	uint32_t root; /* depth of the object that is told of; 0: none */
	uint32_t root_path; /* bytes of path in front of its own */
	struct object_pod pod;
	struct object_container container; /* being read */
	struct object_condition condition;
	/* A line of a log in JSON. */
	char log[32 * 1024], ident[96], pid[16], stamp[40];
	size_t log_len;
	bool has_log, has_stream;
	uint64_t log_line;
	bool known; /* something of it is known: the text itself need not be read as a log */
	bool judged; /* some object so far was */
};

/* o is zero, or was used before: what is large in it is not cleared. Borrows ctx. */
void object_init(struct object *o, object_told *told, void *ctx);
void object_open(struct object *o, const char *key, bool list, uint64_t line);
void object_close(struct object *o);
void object_value(struct object *o, const char *key, const char *text, size_t len, uint64_t line);

/* Forget it. */
void object_pod_reset(struct object_pod *p);
/* The container of this name, made when there is none; NULL: no room. */
struct object_container *object_pod_container(struct object_pod *p, const char *name);
/* " (the pod asks for 8 GPUs)" for a message that says that there are too few; "" for another, and when none are asked for. */
const char *object_pod_asked(const struct object_pod *p, const char *message, char *ret, size_t cap);
/* Say what is to be said of it. */
void object_pod_tell(struct object_pod *p, object_told *told, void *ctx);
/* A row of "kubectl get pods": READY ("0/1"), STATUS ("CrashLoopBackOff", "OOMKilled", "Init:Error", "Running") and RESTARTS. */
void object_status_tell(const char *pod, const char *ready, const char *status, uint32_t restarts, uint64_t line,
	object_told *told, void *ctx);
/* "Exited (137) 3 minutes ago", as docker ps and compose ps say it, of the container who. True: it was understood. */
bool object_docker_status_tell(const char *who, const char *status, uint64_t line, object_told *told, void *ctx);

#endif
