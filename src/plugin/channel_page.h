/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What channel.c asks of channel_page.c.
 */
#ifndef PLUGVM_PLUGIN_CHANNEL_PAGE_H
#define PLUGVM_PLUGIN_CHANNEL_PAGE_H

#include "plugin/channel.h"

/* As channel_next_reply(). */
int channel_page_reply(struct channel *channel, const struct wire_arena *elements,
                       wire_VcpuResponse *out_response);

/* Of channel_hang_up() and channel_fini(); nothing if there is no page. */
void channel_kick_page(struct channel *channel);
void channel_free_page(struct channel *channel);

#endif
