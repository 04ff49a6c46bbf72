/* coverage.h - what a fuzzer's instrumentation passes over. */
#ifndef STATOR_BASE_COVERAGE_H
#define STATOR_BASE_COVERAGE_H

/* For a loop over bytes whose branches tell a fuzzer nothing: following each of them would be most of what a run costs. Part of another
 * function it would be followed with that. */
#ifdef __clang__
#define NO_COVERAGE __attribute__((no_sanitize("coverage"), noinline))
#else
#define NO_COVERAGE
#endif

#endif
