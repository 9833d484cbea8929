"""The thorax about the nodules: bones, organs, vessels, airways, chest wall."""
