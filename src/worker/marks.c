#include "worker/marks.h"

void marks_init(struct marks *m, uint32_t block_size, uint32_t prompt_len, struct seqs_match from)
{
	uint32_t tail = prompt_len > MARKS_TAIL ? prompt_len - MARKS_TAIL : 0;
	uint32_t end = tail / block_size * block_size, fork = from.common / block_size * block_size;

	*m = (struct marks){.start = from.len, .block_size = block_size};
	/* What would save less than a block is not worth a sequence. */
	if (end >= from.len + block_size)
		m->end = end;
	if (m->end && end - from.len >= 2 * MARKS_STRIDE_MIN) {
		uint32_t stride = MAX((end - from.len) / (MARKS_STRIDES + 1), (uint32_t)MARKS_STRIDE_MIN);
		m->stride = (stride + block_size - 1) / block_size * block_size;
	}
	if (fork >= from.len + block_size && fork < end)
		marks_add(m, fork, MARK_KEEP);
}

bool marks_add(struct marks *m, uint32_t pos, enum mark kind)
{
	for (uint32_t i = 0; i < m->forks_count; i++)
		if (m->forks[i].pos == pos) {
			m->forks[i].kind = MAX(m->forks[i].kind, kind);
			return true;
		}
	if (m->forks_count == MARKS_FORKS_MAX)
		return false;
	m->forks[m->forks_count].pos = pos;
	m->forks[m->forks_count++].kind = kind;
	return true;
}

/* The first of the strides. They lie on multiples, so that prompts with a common beginning share them. */
static uint32_t first_stride(const struct marks *m)
{
	return (m->start / m->stride + 1) * m->stride;
}

/* Half a stride before the end the end itself is near enough. */
static bool is_stride(const struct marks *m, uint32_t pos)
{
	return m->stride && pos % m->stride == 0 && pos >= first_stride(m) && pos + m->stride / 2 < m->end;
}

enum mark marks_at(const struct marks *m, uint32_t len)
{
	enum mark ret = is_stride(m, len) ? MARK_SPARE : MARK_NONE;

	if (!len || len <= m->start)
		return MARK_NONE;
	for (uint32_t i = 0; i < m->forks_count; i++)
		if (m->forks[i].pos == len)
			ret = MAX(ret, m->forks[i].kind);
	return len == m->end ? MARK_KEEP : ret;
}

uint32_t marks_next(const struct marks *m, uint32_t len)
{
	uint32_t ret = m->end > len ? m->end : UINT32_MAX;

	for (uint32_t i = 0; i < m->forks_count; i++)
		if (m->forks[i].pos > len)
			ret = MIN(ret, m->forks[i].pos);
	if (m->stride) {
		uint32_t next = MAX((len / m->stride + 1) * m->stride, first_stride(m));
		if (is_stride(m, next))
			ret = MIN(ret, next);
	}
	return ret;
}
