// ESP pipelines and SA manager; paths relative to the repository root. The core's own list is rtl/gcm/gcm.f.
rtl/lib/ram_sdp.v
rtl/lib/fifo.v
rtl/lib/skid.v
rtl/esp/esp_len.v
rtl/esp/esp_sa.v
rtl/esp/esp_tx_in.v
rtl/esp/esp_tx_sa.v
rtl/esp/esp_tx_hdr.v
rtl/esp/esp_tx_slot.v
rtl/esp/esp_tx_cut.v
rtl/esp/esp_tx_build.v
rtl/esp/esp_tx_out.v
rtl/esp/esp_tx.v
rtl/esp/esp_pipe.v
