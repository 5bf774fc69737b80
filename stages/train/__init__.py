"""DreamBooth + LoRA: one adapter of the UNet for each shot type."""
