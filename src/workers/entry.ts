/** Where every worker of a pool begins. */
import { serve } from "./serve.ts";
import { tasks } from "./tasks.ts";

serve(tasks);
