"""How cells are planned and executed: plan, cell, worker, refit, replay."""
