// SPDX-License-Identifier: Apache-2.0
// The commands `espalier-sim vectors` and `espalier-sim esp-vectors`.
#ifndef SIM_WORKBENCH_VECTORS_H
#define SIM_WORKBENCH_VECTORS_H

// Each takes the files' names and returns the exit code (enum wb_exit).
int wb_vectors(int n_files, char **files);
int wb_esp_vectors(int n_files, char **files);

#endif
