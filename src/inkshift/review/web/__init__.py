"""How pages are asked for and sent: `security` first, then `render`; `uploads` takes files, `entry` lets people in."""
