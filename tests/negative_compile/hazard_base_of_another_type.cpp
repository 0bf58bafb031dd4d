// expect: hazard_pointer_obj_base<T> is a base of T itself
#include <runnel/lockfree/hazard_pointer.hpp>

struct other {};
#ifdef RUNNEL_NEGATIVE_CONTROL
struct node : runnel::hazard_pointer_obj_base<node> {};
#else
struct node : runnel::hazard_pointer_obj_base<other> {};
#endif

void ends(node* n) { n->retire(); }
