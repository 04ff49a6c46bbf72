/* kv/blocks.h and kv/cells.h against naive models, by random operations. */
#include "base/rng.h"
#include "kv/blocks.h"
#include "kv/cells.h"
#include "kv/hash.h"

#include "../lib/cmocka_all.h"

enum { HASHES = 60, OPS = 60000, CELLS = 40, SEQS = 6 };

static uint64_t hash_of(uint32_t i)
{
	return rng_keyed_u64(99, i);
}

static void apply_changes(const struct kv_changes *c, bool *reader, uint32_t *ret_wrong)
{
	for (uint32_t h = 0; h < HASHES; h++) {
		for (uint32_t i = 0; i < c->removed.len; i++)
			if (c->removed.v[i] == hash_of(h)) {
				*ret_wrong += !reader[h];
				reader[h] = false;
			}
		for (uint32_t i = 0; i < c->stored.len; i++)
			if (c->stored.v[i] == hash_of(h)) {
				*ret_wrong += reader[h];
				reader[h] = true;
			}
	}
}

/* One reader follows all reports; another begins with a snapshot that is cut into chunks between reports. */
static void readers_of_reports_and_of_snapshots_end_with_the_same_set(void **state)
{
	(void)state;
	struct kv_blocks b = {0};
	struct kv_changes c = {0};
	struct kv_snapshot snap = {0};
	struct rng r;
	uint32_t refs[HASHES] = {0}, wrong = 0, snapshots = 0;
	bool follower[HASHES] = {0}, late[HASHES] = {0}, open = false;

	rng_init(&r, 5);
	for (int i = 0; i < OPS; i++) {
		uint32_t h = (uint32_t)rng_below(&r, HASHES);
		switch (rng_below(&r, 8)) {
		case 0:
		case 1:
		case 2:
			assert_int_equal(kv_blocks_ref(&b, hash_of(h)), 0);
			refs[h]++;
			break;
		case 3:
		case 4:
		case 5:
			if (refs[h]) {
				assert_int_equal(kv_blocks_unref(&b, hash_of(h)), 0);
				refs[h]--;
			}
			break;
		case 6: {
			uint32_t ignored = 0;
			assert_int_equal(kv_blocks_drain(&b, &c), 0);
			apply_changes(&c, follower, &wrong);
			apply_changes(&c, late, &ignored);
			for (uint32_t k = 0; k < HASHES; k++)
				assert_int_equal(follower[k], refs[k] > 0);
			break;
		}
		default:
			if (!open) {
				assert_int_equal(kv_snapshot_begin(&snap, &b), 0);
				memset(late, 0, sizeof late);
				open = true;
				break;
			}
			uint64_t chunk[7];
			bool end;
			uint32_t n = kv_snapshot_next(&snap, &b, chunk, 7, &end);
			for (uint32_t k = 0; k < HASHES; k++)
				for (uint32_t j = 0; j < n; j++)
					late[k] |= chunk[j] == hash_of(k);
			if (end) {
				assert_memory_equal(late, follower, sizeof late);
				kv_snapshot_done(&snap);
				open = false;
				snapshots++;
			}
		}
		uint64_t digest = 0;
		uint32_t held = 0;
		for (uint32_t k = 0; k < HASHES; k++)
			if (refs[k]) {
				digest = kv_digest_add(digest, hash_of(k));
				held++;
			}
		assert_true(b.digest == digest);
		assert_int_equal(b.held, held);
		assert_int_equal(kv_blocks_refs(&b, hash_of(h)), refs[h]);
	}
	assert_int_equal(wrong, 0);
	assert_true(snapshots > 100);
	kv_snapshot_done(&snap);
	kv_changes_done(&c);
	kv_blocks_done(&b);
}

static void what_came_and_went_between_reports_is_not_reported(void **state)
{
	(void)state;
	struct kv_blocks b = {0};
	struct kv_changes c = {0};

	assert_int_equal(kv_blocks_ref(&b, 1), 0);
	assert_int_equal(kv_blocks_unref(&b, 1), 0);
	assert_int_equal(kv_blocks_drain(&b, &c), 0);
	assert_int_equal(c.stored.len + c.removed.len, 0);
	assert_int_equal(kv_blocks_ref(&b, 2), 0);
	assert_int_equal(kv_blocks_drain(&b, &c), 0);
	assert_int_equal(c.stored.len, 1);
	assert_int_equal(kv_blocks_unref(&b, 2), 0);
	assert_int_equal(kv_blocks_ref(&b, 2), 0);
	assert_int_equal(kv_blocks_drain(&b, &c), 0);
	assert_int_equal(c.stored.len + c.removed.len, 0);
	kv_changes_done(&c);
	kv_blocks_done(&b);
}

/* Everything kv_cells says, counted the slow way. */
static void check_cells(const struct kv_cells *c, const uint32_t *len, const bool *active)
{
	uint32_t refs[CELLS] = {0}, active_refs[CELLS] = {0}, used = 0, act = 0;

	for (uint32_t s = 0; s < SEQS; s++) {
		assert_int_equal(kv_cells_len(c, s), len[s]);
		for (uint32_t i = 0; i < len[s]; i++) {
			refs[c->seq[s].cells.v[i]]++;
			active_refs[c->seq[s].cells.v[i]] += active[s];
		}
	}
	for (uint32_t i = 0; i < CELLS; i++) {
		used += refs[i] > 0;
		act += active_refs[i] > 0;
	}
	assert_int_equal(c->free_count, CELLS - used);
	assert_int_equal(c->active_count, act);
	for (uint32_t s = 0; s < SEQS; s++) {
		uint32_t own = 0, inactive = 0;
		for (uint32_t i = 0; i < len[s]; i++) {
			own += refs[c->seq[s].cells.v[i]] == 1;
			inactive += active_refs[c->seq[s].cells.v[i]] == 0;
		}
		assert_int_equal(kv_cells_own(c, s), own);
		assert_int_equal(kv_cells_inactive(c, s, len[s]), inactive);
	}
}

static void cells_agree_with_counting(void **state)
{
	(void)state;
	struct kv_cells c;
	struct rng r;
	uint32_t len[SEQS] = {0};
	bool active[SEQS] = {0};

	rng_init(&r, 6);
	assert_int_equal(kv_cells_init(&c, CELLS, SEQS), 0);
	for (int i = 0; i < OPS; i++) {
		uint32_t s = (uint32_t)rng_below(&r, SEQS), d = (uint32_t)rng_below(&r, SEQS);
		uint32_t n = (uint32_t)rng_below(&r, 12);
		switch (rng_below(&r, 4)) {
		case 0:
			if (n > c.free_count) {
				assert_int_equal(kv_cells_append(&c, s, n), -ENOSPC);
				break;
			}
			assert_int_equal(kv_cells_append(&c, s, n), 0);
			len[s] += n;
			break;
		case 1:
			n = MIN(n, len[s]);
			kv_cells_trim(&c, s, n);
			len[s] = n;
			break;
		case 2:
			if (s == d || len[d])
				break;
			n = MIN(n, len[s]);
			assert_int_equal(kv_cells_copy(&c, s, d, n), 0);
			len[d] = n;
			break;
		default:
			active[s] = !active[s];
			kv_cells_set_active(&c, s, active[s]);
		}
		check_cells(&c, len, active);
	}
	kv_cells_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_of_reports_and_of_snapshots_end_with_the_same_set),
		cmocka_unit_test(what_came_and_went_between_reports_is_not_reported),
		cmocka_unit_test(cells_agree_with_counting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
