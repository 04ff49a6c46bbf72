/* process_flags.c - see process_flags.h. */
#include "cli/process_flags.h"
#include "base/log.h"

#include <unistd.h>

void process_log_setup(const struct flags *flags)
{
	enum log_level level = LOG_INFO;

	if (log_level_parse(flags_str(flags, "log-level"), &level) < 0)
		level = LOG_INFO;
	log_setup(STDERR_FILENO, level, flags_bool(flags, "log-json"));
}
