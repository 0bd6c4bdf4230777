// The button beside "Run it" copies the command; where a page may not write to the clipboard, it shows the command.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const command = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(command);
    button.textContent = "copied: paste it into a terminal, in the course's folder";
  } catch {
    button.textContent = command;
  }
});
