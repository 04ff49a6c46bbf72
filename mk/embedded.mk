# Files of data/ that are built in (EMBED_FILE in the source named).
$(BUILD)/src/gpu/catalogue.o: data/gpus.txt
$(BUILD)/src/gpu/instances.o: data/instances.txt
$(BUILD)/src/gpu/versions.o: data/engines.txt
$(BUILD)/src/model/catalogue.o: data/models.txt
$(BUILD)/src/config/engine_flags.o: data/engine-flags.txt
