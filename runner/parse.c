/* SPDX-License-Identifier: MIT */
/*
 * The texts "256M" and "1.5s". One scanner reads the decimal number; the unit
 * is looked up in a table. Nothing is accepted that strtod() would accept
 * beyond plain decimals: no sign, blank, exponent, hex, inf or nan.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "agent-proto/clock.h"
#include "runner/config.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
    {0},
};

static const struct unit duration_units[] = {
    {"ms", (uint64_t)NS_PER_MS},
    {"s", (uint64_t)NS_PER_SEC},
    {"m", 60 * (uint64_t)NS_PER_SEC},
    {"h", 3600 * (uint64_t)NS_PER_SEC},
    {0},
};

/* The whole part exactly, the fraction as a double below 1. Returns where the
 * number ended, or NULL. */
static const char *scan_number(const char *s, uint64_t *ret_whole,
			       double *ret_fraction)
{
	uint64_t whole = 0;
	double place = 0.1;
	double fraction = 0;

	if (*s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		unsigned digit = (unsigned)(*s - '0');
		if (whole > (UINT64_MAX - digit) / 10)
			return NULL;
		whole = whole * 10 + digit;
	}
	*ret_whole = whole;
	*ret_fraction = 0;
	if (*s != '.')
		return s;
	if (*++s < '0' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++) {
		fraction += (*s - '0') * place;
		place /= 10;
	}
	*ret_fraction = fraction < 1 ? fraction : nextafter(1.0, 0.0);
	return s;
}

static int parse_with_units(const char *s, const struct unit *units,
			    uint64_t max, uint64_t *ret)
{
	double fraction;
	uint64_t whole;
	const char *name = scan_number(s, &whole, &fraction);

	if (!name)
		return -EINVAL;
	while (units->name && strcmp(units->name, name) != 0)
		units++;
	if (!units->name || whole > max / units->factor)
		return -EINVAL;
	if (units->factor == 1 && fraction > 0)
		return -EINVAL;
	uint64_t value = whole * units->factor;
	uint64_t part = (uint64_t)llround(fraction * (double)units->factor);
	if (part > max - value)
		return -EINVAL;
	*ret = value + part;
	return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
	return parse_with_units(s, size_units, UINT64_MAX, ret_bytes);
}

int parse_duration(const char *s, int64_t *ret_ns)
{
	uint64_t ns;
	int r = parse_with_units(s, duration_units, INT64_MAX, &ns);

	if (r < 0)
		return r;
	*ret_ns = (int64_t)ns;
	return 0;
}
