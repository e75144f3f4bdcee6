/* SPDX-License-Identifier: MIT */
/* Addresses of Ethernet and IP, and as text. */
#ifndef VMM_NET_ADDR_H
#define VMM_NET_ADDR_H

#include <stdint.h>

#define MAC_LEN 6
/* "52:54:00:00:01:02" and its NUL. */
#define MAC_TEXT_MAX  18
#define IPV4_TEXT_MAX 16
#define IPV6_LEN      16
#define IPV6_TEXT_MAX 46

void mac_format(const uint8_t mac[MAC_LEN], char ret[MAC_TEXT_MAX]);
/* 0 or -EINVAL. */
int mac_parse(const char *text, uint8_t ret[MAC_LEN]);
/* ip in host byte order. */
void ipv4_format(uint32_t ip, char ret[IPV4_TEXT_MAX]);
/* As RFC 5952 has it. */
void ipv6_format(const uint8_t ip[IPV6_LEN], char ret[IPV6_TEXT_MAX]);

#endif
