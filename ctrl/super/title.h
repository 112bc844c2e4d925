// SPDX-License-Identifier: Apache-2.0
// The process title, as ps shows it.
#ifndef CTRL_SUPER_TITLE_H
#define CTRL_SUPER_TITLE_H

void title_init(int argc, char **argv); // before any thread or child; moves the environment out of the way
void title_set(const char *title);

#endif
