// SPDX-License-Identifier: Apache-2.0
// How an SA that is there stands to the configuration that is loaded: a load ends none.
#ifndef CTRL_SA_EDITION_H
#define CTRL_SA_EDITION_H

enum sa_edition {
    SA_AS_LOADED,
    SA_EDITED,      // it can be made anew before it ends, and nothing is lost
    SA_PEER_BEGINS, // edited, and no address of its peer is configured: this end cannot make it anew
    SA_NO_CHILD,    // edited, and none of its CHILD SAs is configured any more: there is nothing to make anew
    SA_NOT_LOADED,  // its connection or child is loaded no more, or protects no more
    SA_EDITIONS
};

#endif
